"""What it costs to take the operation whose turn it is, with more and more that wait. Nothing is kept.

set -a; . .devstack/env; set +a; .venv/bin/python -m bench.pick
"""

import statistics
import sys
import time
import uuid
from functools import partial

import django

django.setup()

from django.db import connection, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import Account  # noqa: E402
from instances import leases  # noqa: E402
from instances.models import Instance, Operation  # noqa: E402
from nodes.models import Node, Region  # noqa: E402

NODES, ACCOUNTS, TAKEN = 10, 20, 30


def fill(waiting: int) -> None:
    region = Region.objects.create(slug="bench", name="Bench")
    node = {"region": region, "host": "h", "ssh_host": "h", "ssh_user": "u", "capacity_mb": 10**6, "health": "online"}
    nodes = [Node.objects.create(name=f"bench-{n}", **node) for n in range(NODES)]
    accounts = [Account.objects.create(name=f"bench-{n}") for n in range(ACCOUNTS)]
    instances = Instance.objects.bulk_create(
        Instance(
            account=accounts[n % ACCOUNTS], node=nodes[n % NODES], name="db", storage_mb=16, slot=n, reserved_mb=32
        )
        for n in range(waiting)
    )
    now = timezone.now()
    provision = partial(Operation, kind="provision", generation=1, created_at=now, due_at=now)
    Operation.objects.bulk_create(provision(instance=instance) for instance in instances)


def milliseconds() -> float:
    arguments = [uuid.uuid4(), leases.LEASE, leases.LONGEST_WAIT, leases.PER_NODE, None]
    began = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT instances_take(%s, %s, %s, %s, %s)", arguments)
    return (time.perf_counter() - began) * 1000


for waiting in (10, 500, 10_000):
    with transaction.atomic():
        fill(waiting)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE instances_operation, instances_instance")
        took = [milliseconds() for _ in range(TAKEN)]
        transaction.set_rollback(True)
    sys.stdout.write(f"{waiting:6} wait: {statistics.median(took):5.1f} ms\n")
