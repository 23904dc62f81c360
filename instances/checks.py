"""What must always be true of BaseKV's own database: one row of a table, and one query, for each check.

A finding is broken, or only suspicious: it can be true for a while without a fault.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from instances.leases import LEASE, LONGEST_WAIT
from nodes.models import PORTS_PER_SLOT

# A worker gives an operation up at the first attempt after its deadline.
GRACE = LEASE + LONGEST_WAIT + timedelta(seconds=30)
NOT_PICKED_UP = timedelta(minutes=5)
LONG_DELETION = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    suspicious: bool
    subject_type: str
    subject_id: str
    what: str
    what_to_do: str


@dataclass(frozen=True, slots=True)
class Check:
    """`sql` gives a row (id, what) for each subject of which it is not true."""

    name: str
    subject_type: str
    sql: str
    what_to_do: str
    suspicious: bool = False

    def findings(self, values: dict[str, Any]) -> Iterator[Finding]:
        with connection.cursor() as cursor:
            cursor.execute(self.sql, values)
            for id, what in cursor.fetchall():
                yield Finding(self.name, self.suspicious, self.subject_type, str(id), what, self.what_to_do)


OURS = "This is a fault of BaseKV: keep what instances_operation and instances_event have of it, and report it."
BY_HAND = "A restart, through the API or the console, writes a new operation and with it a consistent state. " + OURS

CHECKS = [
    Check(
        "operation_of_state",
        "instance",
        """
        SELECT i.id, format('%%s, its open operations: %%s', i.status, coalesce(string_agg(o.kind, ', '), 'none'))
          FROM instances_instance i
          LEFT JOIN instances_operation o ON o.instance_id = i.id AND o.finished_at IS NULL
         GROUP BY i.id
        HAVING CASE
               WHEN i.status IN ('running', 'failed') OR i.status = 'deleted' AND i.slot IS NULL THEN count(o.id) <> 0
               ELSE count(o.id) <> 1 OR bool_or(o.generation <> i.generation OR o.kind <> ALL (CASE i.status
                    WHEN 'pending' THEN ARRAY['provision']
                    WHEN 'restarting' THEN ARRAY['restart', 'rotate']
                    ELSE ARRAY['deprovision'] END))
               END
        """,
        "Nobody works on it, or somebody works on what is not wanted. " + BY_HAND,
    ),
    Check(
        "operation_in_one_state",
        "operation",
        """
        SELECT id, format('state %%s, finished %%s, lease %%s until %%s', state, coalesce(finished_at::text, 'never'),
                          coalesce(lease::text, 'none'), coalesce(leased_until::text, 'never'))
          FROM instances_operation
         WHERE (finished_at IS NULL) <> (state IN ('queued', 'running'))
            OR (lease IS NULL) <> (leased_until IS NULL)
            OR (lease IS NOT NULL) <> (state = 'running')
        """,
        OURS,
    ),
    Check(
        "operation_ends_in_time",
        "operation",
        """
        SELECT o.id, format('%%s of %%s, deadline %%s, %%s attempts', o.kind, o.instance_id, o.deadline, o.attempts)
          FROM instances_operation o
         WHERE o.finished_at IS NULL AND o.deadline < %(now)s - %(grace)s
        """,
        "No worker has got to it since its deadline: look whether workers and beat run, and start more.",
    ),
    Check(
        "operation_is_picked_up",
        "operation",
        """
        SELECT o.id, format('%%s of %%s, due since %%s', o.kind, o.instance_id, o.due_at) FROM instances_operation o
          JOIN instances_instance i ON i.id = o.instance_id
          JOIN nodes_node n ON n.id = i.node_id
         WHERE o.finished_at IS NULL AND o.due_at < %(now)s - %(not_picked_up)s
           AND (o.leased_until IS NULL OR o.leased_until < %(now)s - %(not_picked_up)s)
           -- Nothing is sent to a node that does not answer; how long it has not is that node's own finding.
           AND (n.health = 'online' OR o.deadline < %(now)s - %(not_picked_up)s)
        """,
        "It waits for a worker: look whether workers and beat run, and start more if they do not keep up.",
        suspicious=True,
    ),
    Check(
        "deletion_ends",
        "operation",
        """
        SELECT o.id, format('deprovision of %%s on %%s, asked for at %%s: %%s', o.instance_id, n.name, o.created_at,
                            o.error)
          FROM instances_operation o
          JOIN instances_instance i ON i.id = o.instance_id
          JOIN nodes_node n ON n.id = i.node_id
         WHERE o.finished_at IS NULL AND o.kind = 'deprovision' AND o.created_at < %(now)s - %(long_deletion)s
        """,
        "Bring the node back, or write it off: manage.py remove_node --write-off. Its error says why it refuses.",
        suspicious=True,
    ),
    Check(
        "running_is_proven",
        "instance",
        """
        SELECT i.id, format('%%s at generation %%s, of which no operation has said so', i.status, i.generation)
          FROM instances_instance i
         WHERE i.status IN ('running', 'failed')
           AND NOT EXISTS (SELECT 1 FROM instances_operation o
                            WHERE o.instance_id = i.id AND o.generation = i.generation
                              AND o.state = CASE i.status WHEN 'running' THEN 'succeeded' ELSE 'failed' END)
        """,
        "Somebody has changed the row by hand. " + BY_HAND,
    ),
    Check(
        "deleted_has_its_time",
        "instance",
        """
        SELECT id, format('%%s, deleted at %%s', status, coalesce(deleted_at::text, 'no time'))
          FROM instances_instance WHERE (status = 'deleted') <> (deleted_at IS NOT NULL)
        """,
        OURS,
    ),
    Check(
        "previous_password_is_forgotten",
        "instance",
        """
        SELECT id, 'running, and the password before its last rotation is still kept'
          FROM instances_instance WHERE status = 'running' AND previous_password_encrypted <> ''
        """,
        "Restart the instance: the node proves that it refuses the old password, and it is forgotten. " + OURS,
    ),
    Check(
        "ports_of_slot",
        "instance",
        """
        SELECT i.id, format('slot %%s of %%s with %%s slots from port %%s on; %%s at %%s, %%s, %%s', i.slot, n.name,
                            n.slots, n.first_port, i.protocol, i.redis_port, i.memcached_port, i.http_port)
          FROM instances_instance i
          JOIN nodes_node n ON n.id = i.node_id
         WHERE i.slot IS NOT NULL
           AND (i.slot >= n.slots
             OR i.redis_port <> n.first_port + i.slot * %(ports_per_slot)s
             OR i.memcached_port <> n.first_port + i.slot * %(ports_per_slot)s + 1
             OR i.http_port <> n.first_port + i.slot * %(ports_per_slot)s + 2
             OR (i.redis_port IS NULL) <> (i.protocol = 'memcached')
             OR (i.memcached_port IS NULL) <> (i.protocol = 'redis')
             OR i.http_port IS NOT NULL AND i.redis_port IS NULL)
        """,
        "Its ports belong to another database. Do not restart either; move the data, delete this one. " + OURS,
    ),
    Check(
        "ports_and_slots_once",
        "node",
        """
        SELECT n.id, format('%%s: %%s %%s is held by %%s', n.name, held.what, held.number,
                            string_agg(held.id::text, ', '))
          FROM nodes_node n
          JOIN (SELECT node_id, id, 'slot' AS what, slot AS number FROM instances_instance
                UNION ALL
                SELECT node_id, id, 'port', port FROM instances_instance,
                       unnest(ARRAY[redis_port, memcached_port, http_port]) port WHERE slot IS NOT NULL) held
            ON held.node_id = n.id AND held.number IS NOT NULL
         GROUP BY n.id, held.what, held.number
        HAVING count(*) > 1
        """,
        "Two databases want one place, and the one that started first has it. Delete the other. " + OURS,
    ),
    Check(
        "node_counts_what_it_holds",
        "node",
        """
        SELECT n.id, format('%%s says %%s MiB and %%s slots; its instances hold %%s MiB and %%s slots', n.name,
                            n.reserved_mb, n.slots_used, coalesce(sum(i.reserved_mb), 0), count(i.id))
          FROM nodes_node n
          LEFT JOIN instances_instance i ON i.node_id = n.id AND i.slot IS NOT NULL
         GROUP BY n.id
        HAVING n.reserved_mb <> coalesce(sum(i.reserved_mb), 0) OR n.slots_used <> count(i.id)
        """,
        "Drain the node until it is mended: it may be oversold, or take fewer than it could. " + OURS,
    ),
    Check(
        "one_active_subscription",
        "account",
        """
        SELECT a.id, format('%%s has %%s active subscriptions', a.name, count(*))
          FROM accounts_account a JOIN billing_subscription s ON s.account_id = a.id
         WHERE s.ended_at IS NULL GROUP BY a.id HAVING count(*) > 1
        """,
        "End all but one in the console: which limits hold is chance until then.",
    ),
    Check(
        "databases_have_a_subscription",
        "account",
        """
        SELECT a.id, format('%%s has %%s databases and no active subscription', a.name, count(*))
          FROM accounts_account a JOIN instances_instance i ON i.account_id = a.id
         WHERE i.status <> 'deleted'
           AND NOT EXISTS (SELECT 1 FROM billing_subscription s WHERE s.account_id = a.id AND s.ended_at IS NULL)
         GROUP BY a.id
        """,
        "Nobody pays for them, and their owner is refused (403): give the account a plan, or delete the databases.",
        suspicious=True,
    ),
    Check(
        "databases_within_plan",
        "account",
        """
        SELECT a.id, format('%%s has %%s databases; the plan %%s allows %%s', a.name, count(i.id), p.slug,
                            p.max_databases)
          FROM accounts_account a
          JOIN billing_subscription s ON s.account_id = a.id AND s.ended_at IS NULL
          JOIN billing_plan p ON p.slug = s.plan_id
          JOIN instances_instance i ON i.account_id = a.id AND i.status <> 'deleted'
         GROUP BY a.id, p.slug
        HAVING count(i.id) > p.max_databases
        """,
        "Nothing, if the plan or its limits were lowered: they keep what they have, and get no more.",
        suspicious=True,
    ),
    Check(
        "usage_is_possible",
        "account",
        """
        SELECT a.id, format('%%s: %%s requests on %%s', a.name, u.count, u.day)
          FROM billing_usage u JOIN accounts_account a ON a.id = u.account_id
         WHERE u.count < 1
            OR u.day > (%(now)s AT TIME ZONE 'UTC')::date + 1
            OR u.day < (a.created_at AT TIME ZONE 'UTC')::date - 1
        """,
        "The clock of a web server or of PostgreSQL was wrong, or somebody changed the row. A day that is to come "
        "has part of its quota used up already: correct the row in billing_usage.",
    ),
    Check(
        "usage_within_plan",
        "account",
        """
        SELECT a.id, format('%%s: %%s requests today; the plan %%s allows %%s', a.name, u.count, p.slug,
                            p.max_requests_per_day)
          FROM billing_usage u
          JOIN accounts_account a ON a.id = u.account_id
          JOIN billing_subscription s ON s.account_id = a.id AND s.ended_at IS NULL
          JOIN billing_plan p ON p.slug = s.plan_id
         WHERE u.day = (%(now)s AT TIME ZONE 'UTC')::date AND u.count > p.max_requests_per_day
        """,
        "Nothing, if the plan or its limits were lowered today: the account is refused until midnight UTC.",
        suspicious=True,
    ),
]


def findings() -> Iterator[Finding]:
    """In the transaction that is there."""
    values = {
        "now": timezone.now(),
        "grace": GRACE,
        "not_picked_up": NOT_PICKED_UP,
        "long_deletion": LONG_DELETION,
        "ports_per_slot": PORTS_PER_SLOT,
    }
    for check in CHECKS:
        yield from check.findings(values)
