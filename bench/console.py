"""The console's pages with 100,000 instances of 10,000 accounts on 1,000 nodes: milliseconds and queries of each.

Everything is filled in by SQL within one transaction, which is rolled back: nothing is kept.

set -a; . .devstack/env; set +a; .venv/bin/python -m bench.console
"""

import sys
import time

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

ACCOUNTS, INSTANCES, NODES, REGIONS, DAYS, ROUNDS = 10_000, 100_000, 1_000, 5, 30, 5

FILL = f"""
INSERT INTO nodes_region (slug, name) SELECT 'bench-' || n, 'Bench ' || n FROM generate_series(1, {REGIONS}) n;
INSERT INTO nodes_node (id, name, region_id, host, ssh_host, ssh_port, ssh_user, host_key, host_key_seen, supervisor,
    intent, health, seen_at, reported_at, report, last_error,
    agent_digest, agent_release, engines, installed_digest,
    upgrade_release, upgrade_attempts, upgrade_error, capacity_mb, reserved_mb, slots, slots_used, first_port,
    default_storage_mb, created_at)
  SELECT md5('node' || n)::uuid, 'bench-' || n, 'bench-' || 1 + n % {REGIONS}, 'h', 'h', 22, 'u', 'ssh-ed25519 A',
    '', 'systemd', 'active', CASE WHEN n % 50 = 0 THEN 'offline' ELSE 'online' END, now(), now(),
    jsonb_build_object('instances', (SELECT jsonb_agg(jsonb_build_object('id', md5('i' || i), 'state', 'running',
      'generation', 1, 'keys', i, 'memory_bytes', i)) FROM generate_series(1, 100) i)),
    '', '', 1, '{{valkey}}', '', 0, 0, '', 64000, 8000, 1000, 100, 20000, 64, now() FROM generate_series(1, {NODES}) n;
INSERT INTO billing_plan (slug, name, max_databases, max_storage_mb, max_requests_per_day, price_cents)
  VALUES ('bench', 'Bench', 50, 64, 1000, 100);
INSERT INTO accounts_account (id, name, created_at)
  SELECT md5('account' || n)::uuid, 'customer ' || n, now() - n * interval '1 minute'
  FROM generate_series(1, {ACCOUNTS}) n;
INSERT INTO accounts_serviceaccount (id, account_id, name, created_at)
  SELECT md5('service' || n)::uuid, md5('account' || n)::uuid, 'agent ' || n, now() - n * interval '1 minute'
  FROM generate_series(1, {ACCOUNTS}) n;
INSERT INTO accounts_token (id, service_account_id, prefix, digest, scopes, created_at)
  SELECT gen_random_uuid(), md5('service' || n)::uuid, 'bkv_' || lpad(n::text, 8, '0'), '', '{{db.instances.read}}',
    now() - n * interval '1 minute' FROM generate_series(1, {ACCOUNTS}) n;
INSERT INTO billing_subscription (account_id, plan_id, started_at)
  SELECT md5('account' || n)::uuid, 'bench', now() - n * interval '1 minute' FROM generate_series(1, {ACCOUNTS}) n;
INSERT INTO billing_usage (account_id, day, count)
  SELECT md5('account' || n)::uuid, (now() AT TIME ZONE 'UTC')::date - d, (n * 7 + d) % 1000
  FROM generate_series(1, {ACCOUNTS}) n, generate_series(0, {DAYS} - 1) d;
INSERT INTO instances_instance (id, account_id, node_id, name, protocol, log_level, storage_mb, status, generation,
    password_encrypted, previous_password_encrypted, slot, reserved_mb, redis_port, created_at, updated_at)
  SELECT md5('instance' || n)::uuid, md5('account' || 1 + n % {ACCOUNTS})::uuid, md5('node' || 1 + n % {NODES})::uuid,
    'database ' || n, 'redis', 'info', 64, CASE WHEN n % 1000 = 0 THEN 'failed' ELSE 'running' END, 1, '', '',
    n / {NODES}, 80, 20000 + n / {NODES}, now() - n * interval '1 second', now() FROM generate_series(1, {INSTANCES}) n;
INSERT INTO instances_operation (id, instance_id, kind, generation, asked_by, state, attempts, due_at, error,
    customer_error, created_at, started_at, finished_at)
  SELECT md5('operation' || n)::uuid, md5('instance' || n)::uuid, 'provision', 1, 'bkv_x',
    CASE WHEN n % 1000 = 0 THEN 'failed' ELSE 'succeeded' END, 1, now(), '', '', now() - n * interval '1 second', now(),
    now() - n * interval '1 second' FROM generate_series(1, {INSTANCES}) n;
INSERT INTO instances_event (instance_id, operation_id, status, text, created_at)
  SELECT md5('instance' || n)::uuid, md5('operation' || n)::uuid, 'running', 'It answers.',
    now() - n * interval '1 second' FROM generate_series(1, {INSTANCES}) n;
ANALYZE;
"""  # noqa: S608

PAGES = [
    "/admin/",
    "/admin/nodes/node/",
    "/admin/nodes/node/?health__exact=offline",
    "/admin/nodes/node/{node}/change/",
    "/admin/instances/instance/",
    "/admin/instances/instance/?p=200",
    "/admin/instances/instance/?status__exact=failed",
    "/admin/instances/instance/?node__region__slug__exact=bench-1",
    "/admin/instances/instance/?q=database 99999",
    "/admin/instances/instance/?q=customer 77",
    "/admin/instances/instance/?q={instance}",
    "/admin/instances/instance/?q=nothing like it",
    "/admin/instances/instance/{instance}/change/",
    "/admin/instances/operation/",
    "/admin/instances/operation/?state__exact=failed",
    "/admin/instances/event/",
    "/admin/instances/event/?q=database 5",
    "/admin/accounts/account/",
    "/admin/accounts/account/?q=customer 9",
    "/admin/accounts/account/{account}/change/",
    "/admin/accounts/serviceaccount/",
    "/admin/accounts/token/",
    "/admin/accounts/token/?q=customer 77",
    "/admin/billing/subscription/",
    "/admin/billing/usage/",
    "/admin/billing/usage/?q=customer 9",
    "/admin/instances/alert/",
    "/admin/accounts/auditentry/",
]


def measure(client: Client, page: str) -> tuple[float, float, int]:
    """The best of some rounds in milliseconds; those in PostgreSQL; queries."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        answer = client.get(page)
        times.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, (page, answer.status_code)
    with CaptureQueriesContext(connection) as queries:
        client.get(page)
    in_database = sum(float(query["time"]) for query in queries.captured_queries) * 1000
    return min(times), in_database, len(queries)


def first(table: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {table} WHERE id = md5('{table.rpartition('_')[2]}77')::uuid")  # noqa: S608
        return str(cursor.fetchone()[0])


with transaction.atomic():
    with connection.cursor() as cursor:
        cursor.execute(FILL)
    staff = get_user_model().objects.create_superuser("bench@example.com", "bench")
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(staff)
    ids = {name: first(table) for name, table in {
        "node": "nodes_node", "instance": "instances_instance", "account": "accounts_account"
    }.items()}  # fmt: skip
    for page in PAGES:
        whole, in_database, queries = measure(client, page.format(**ids))
        sys.stdout.write(f"{page:<64} {whole:6.0f} ms, {in_database:4.0f} in PostgreSQL, {queries:2} queries\n")
    transaction.set_rollback(True)
