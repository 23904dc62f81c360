"""What was promised, compared with what is there."""

import json
from collections import Counter
from collections.abc import Sequence
from subprocess import CalledProcessError

import redis

from tests.faults.cluster import Cluster
from tests.faults.customer import Customer, Database
from tests.waiting import eventually

# Seconds. A worker that was killed keeps its operation for as long as its lease.
SETTLED_WITHIN = 60.0
COUNTED = "SELECT coalesce(sum(count), 0) FROM billing_usage"
OPERATIONS = "SELECT count(*) FROM instances_operation"
OPEN = "SELECT count(*) FROM instances_operation WHERE finished_at IS NULL"
UNSETTLED = "SELECT count(*) FROM instances_instance WHERE status NOT IN ('running', 'deleted')"


def settle(cluster: Cluster) -> None:
    """Until every operation has ended, every database runs or is gone, and the nodes agree."""
    try:
        eventually(lambda: is_settled(cluster) and not broken_invariants(cluster), "settled", seconds=SETTLED_WITHIN)
    except AssertionError:
        left = cluster.sql(
            "SELECT i.status, o.kind, o.state, o.attempts, o.error, o.due_at - now(), o.leased_until - now()"
            " FROM instances_instance i"
            " LEFT JOIN instances_operation o ON o.instance_id = i.id AND o.finished_at IS NULL"
            " WHERE i.status NOT IN ('running', 'deleted') OR o.id IS NOT NULL"
        )
        found = broken_invariants(cluster)
        raise AssertionError(f"Not settled within {SETTLED_WITHIN:g} s: {left} {found}") from None


def is_settled(cluster: Cluster) -> bool:
    return cluster.sql(f"SELECT ({OPEN}) + ({UNSETTLED})") == [(0,)]


def check(cluster: Cluster, customers: Sequence[Customer]) -> Counter[str]:
    """What was kept, counted; what was broken is a list in the AssertionError."""
    kept: Counter[str] = Counter()
    broken: list[str] = []
    for customer in customers:
        broken += [f"a customer met {answer}" for answer in customer.refused]
        for database in customer.databases:
            broken += broken_promises(customer, database)
            kept["databases"] += 1
            kept["keys"] += len(database.keys) if not database.leaving else 0
    broken += [*broken_count(cluster, customers), *broken_invariants(cluster)]
    assert not broken, "\n".join(broken)
    [(kept["operations"],)] = cluster.sql(OPERATIONS)
    kept["answers"] = sum(customer.answers.total() for customer in customers)
    return kept


def broken_count(cluster: Cluster, customers: Sequence[Customer]) -> list[str]:
    """A request that got no answer may have been counted; any other was, once."""
    [(counted,)] = cluster.sql(COUNTED)
    answered, sent = sum(c.answered for c in customers), sum(c.sent for c in customers)
    right = answered <= int(str(counted)) <= sent
    return [] if right else [f"{counted} requests were counted; {sent} were sent and {answered} answered"]


def broken_promises(customer: Customer, database: Database) -> list[str]:
    answer = customer.ask("GET", f"/instances/{database.id}")
    assert answer is not None
    if database.gone:
        return [] if answer.status_code == 404 else [f"{database.id} was deleted and is {answer.text}"]
    if database.leaving:
        return []
    if answer.status_code != 200 or answer.json()["status"] != "running":
        return [f"{database.id} is not running: {answer.text}"]
    return [f"{database.id}: {found}" for found in broken_database(customer, database)]


def broken_database(customer: Customer, database: Database) -> list[str]:
    client = customer.connect(database)
    assert client is not None
    with client:
        names = list(database.keys)
        values = client.mget(names) if names else []
        broken = [f"key {n} is {v!r}" for n, v in zip(names, values, strict=True) if v != database.keys[n]]
    if database.old_password:
        try:
            customer.connect(database, password=database.old_password).ping()
            broken.append("it takes the password from before its last rotation")
        except redis.AuthenticationError:
            pass
    return broken


def broken_invariants(cluster: Cluster) -> list[str]:
    """As an operator would ask for them."""
    try:
        cluster.manage("audit_invariants", "--nodes", "--json")
    except CalledProcessError as error:
        return [json.dumps(json.loads(error.stdout)) if error.returncode == 3 else error.stdout + error.stderr]
    return []
