-- Who is it, may it, count it: the whole of admission in one round trip (ADR 1).
--
-- p_scope is the scope that the operation needs, or null; p_counted says whether it counts against the day's quota.
-- p_now is the clock, for tests. No row: no such token. Otherwise `outcome` is the first of these that holds:
--   expired, revoked, disabled        401
--   suspended, scope, unsubscribed    403
--   quota                             429, and nothing was counted
--   admitted                          counted, if p_counted
-- The token is found by the digest of its secret, so that the time of the comparison tells nothing about the secret.
DROP FUNCTION IF EXISTS billing_admit(text, bytea, text, boolean, timestamptz);

CREATE FUNCTION billing_admit(
    p_prefix text,
    p_digest bytea,
    p_scope text,
    p_counted boolean,
    p_now timestamptz DEFAULT clock_timestamp(),
    OUT outcome text,
    OUT token_id uuid,
    OUT token_prefix text,
    OUT scopes text[],
    OUT service_account_id uuid,
    OUT account_id uuid,
    OUT plan_slug text,
    OUT plan_name text,
    OUT max_databases int,
    OUT max_storage_mb int,
    OUT max_requests_per_day int,
    OUT used bigint,
    OUT usage_day date,
    OUT seconds_left int
) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    utc timestamp := p_now AT TIME ZONE 'UTC';
    r record;
BEGIN
    -- A crash of PostgreSQL may lose the last instant's counts; in exchange no request waits for the disk. This holds
    -- for this transaction alone: what the request does afterwards is as durable as ever.
    PERFORM set_config('synchronous_commit', 'off', true);

    SELECT t.id, t.scopes, t.expires_at, t.revoked_at, t.last_used_at,
           s.id AS service_account_id, s.account_id, s.disabled_at, a.suspended_at,
           p.slug, p.name, p.max_databases, p.max_storage_mb, p.max_requests_per_day
      INTO r
      FROM accounts_token t
      JOIN accounts_serviceaccount s ON s.id = t.service_account_id
      JOIN accounts_account a ON a.id = s.account_id
      LEFT JOIN billing_subscription b ON b.account_id = a.id AND b.ended_at IS NULL
      LEFT JOIN billing_plan p ON p.slug = b.plan_id
     WHERE t.prefix = p_prefix AND t.digest = p_digest;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    token_id := r.id;
    token_prefix := p_prefix;
    scopes := r.scopes;
    service_account_id := r.service_account_id;
    account_id := r.account_id;
    plan_slug := r.slug;
    plan_name := r.name;
    max_databases := r.max_databases;
    max_storage_mb := r.max_storage_mb;
    max_requests_per_day := r.max_requests_per_day;
    usage_day := utc::date;
    seconds_left := ceil(extract(epoch FROM usage_day + 1 - utc));
    outcome := CASE
        WHEN r.revoked_at IS NOT NULL THEN 'revoked'
        WHEN r.expires_at <= p_now THEN 'expired'
        WHEN r.disabled_at IS NOT NULL THEN 'disabled'
        WHEN r.suspended_at IS NOT NULL THEN 'suspended'
        WHEN p_scope IS NOT NULL AND p_scope <> ALL (r.scopes) THEN 'scope'
        WHEN r.slug IS NULL THEN 'unsubscribed'
        ELSE 'admitted'
    END;

    IF outcome = 'admitted' AND p_counted THEN
        INSERT INTO billing_usage AS u (account_id, day, count)
        SELECT r.account_id, utc::date, 1
         WHERE r.max_requests_per_day IS NULL OR r.max_requests_per_day > 0
            ON CONFLICT ON CONSTRAINT billing_usage_account_day DO UPDATE SET count = u.count + 1
         WHERE r.max_requests_per_day IS NULL OR u.count < r.max_requests_per_day
        RETURNING u.count INTO used;
        IF NOT FOUND THEN
            outcome := 'quota';
        END IF;
    END IF;
    IF used IS NULL THEN
        SELECT u.count INTO used FROM billing_usage u WHERE u.account_id = r.account_id AND u.day = utc::date;
        used := coalesce(used, 0);
    END IF;

    -- Once a minute at most, and never waiting: whoever holds the token's row (a revocation, another request) wins.
    IF outcome NOT IN ('revoked', 'expired', 'disabled')
       AND (r.last_used_at IS NULL OR r.last_used_at < p_now - interval '1 minute') THEN
        UPDATE accounts_token SET last_used_at = p_now
         WHERE id = (SELECT id FROM accounts_token WHERE id = r.id FOR NO KEY UPDATE SKIP LOCKED);
    END IF;
    RETURN NEXT;
END $$;
