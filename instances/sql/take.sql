-- Takes the lease of the due operation whose turn it is, and gives its id; null when there is nothing to take.
-- Called by instances/leases.py. docs/adr/0007-the-fair-pick.md says why it is a function, and what is fair.
--
-- p_only: this operation, or none, however unfair that is.

CREATE OR REPLACE FUNCTION instances_take(
    p_lease uuid, p_lease_for interval, p_longest_wait interval, p_per_node integer, p_only uuid
) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    taken uuid;
    -- The clock that all workers share. A time further ahead of it than we ever set was written before it was put back.
    moment timestamptz;
BEGIN
    -- One worker chooses at a time. The statements below see what the one before has taken, since each statement of a
    -- function has a snapshot of its own; and the lock ends with this call, even if the worker that called is frozen.
    PERFORM pg_advisory_xact_lock(hashtext('instances_take'));
    moment := clock_timestamp();

      WITH leased AS MATERIALIZED (
               SELECT i.node_id, i.account_id
                 FROM instances_operation o
                 JOIN instances_instance i ON i.id = o.instance_id
                WHERE o.finished_at IS NULL AND o.leased_until BETWEEN moment AND moment + p_lease_for
           ),
           of_node AS (SELECT node_id, count(*) AS leases FROM leased GROUP BY node_id),
           of_account AS (SELECT account_id, count(*) AS leases FROM leased GROUP BY account_id)
    SELECT o.id INTO taken
      FROM instances_operation o
      JOIN instances_instance i ON i.id = o.instance_id
      JOIN nodes_node n ON n.id = i.node_id
      LEFT JOIN of_node ON of_node.node_id = i.node_id
      LEFT JOIN of_account ON of_account.account_id = i.account_id
     WHERE o.finished_at IS NULL
       AND (o.due_at <= moment OR o.due_at > moment + p_longest_wait)
       AND (o.leased_until IS NULL OR o.leased_until NOT BETWEEN moment AND moment + p_lease_for)
       -- Nothing is sent to a node that does not answer its probes. What waits for one too long is taken to be failed.
       AND (n.health = 'online' OR moment NOT BETWEEN o.created_at AND o.deadline)
       AND coalesce(of_node.leases, 0) < p_per_node
       AND (p_only IS NULL OR o.id = p_only)
     ORDER BY coalesce(of_account.leases, 0), o.due_at
     LIMIT 1
       FOR UPDATE OF o SKIP LOCKED;

    UPDATE instances_operation
       SET state = 'running', lease = p_lease, leased_until = moment + p_lease_for, attempts = attempts + 1,
           started_at = coalesce(started_at, moment), attempted_at = moment
     WHERE id = taken;

    RETURN taken;
END
$$;
