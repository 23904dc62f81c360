"""Things are broken on purpose, one by one and then at random, while customers work. Nothing is lost.

BASEKV_FAULTS_SECONDS sets how long the random part takes, BASEKV_FAULTS_SEED what is thrown; the run says which it was.
"""

import os
import random
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults import promises
from tests.faults.cluster import Cluster
from tests.faults.customer import Customer
from tests.faults.faults import FAULTS
from tests.waiting import eventually

CUSTOMERS = 2
# Seconds until a new database runs, however bad the last moment was. A node that was away is asked again after a while.
SERVED_WITHIN = 30.0
SECONDS = float(os.environ.get("BASEKV_FAULTS_SECONDS", "6"))
SEED = int(os.environ.get("BASEKV_FAULTS_SEED", random.randrange(10**6)))

injected: list[str] = []


@pytest.fixture(scope="module")
def customers(cluster: Cluster) -> Iterator[list[Customer]]:
    """At work from the first test to the last."""
    customers = [Customer(cluster.client(), SEED + number) for number in range(CUSTOMERS)]
    for customer in customers:
        customer.start()
    yield customers
    for customer in customers:
        customer.done.set()


def inject(cluster: Cluster, name: str) -> None:
    injected.append(name)
    FAULTS[name](cluster)


@pytest.mark.parametrize("name", FAULTS)
def test_a_new_database_is_served_soon_after(cluster: Cluster, customers: list[Customer], name: str) -> None:
    inject(cluster, name)
    newcomer = Customer(cluster.client(), seed=0)
    end = time.monotonic() + SERVED_WITHIN
    eventually(newcomer.create_once, "a create is answered", seconds=SERVED_WITHIN)
    [database] = newcomer.databases
    left = end - time.monotonic()
    eventually(lambda: newcomer.status(database) == "running", f"running after {name}", seconds=left)
    newcomer.delete()
    customers.append(newcomer)


def test_faults_at_random(cluster: Cluster, customers: list[Customer]) -> None:
    sys.stdout.write(f"BASEKV_FAULTS_SEED={SEED}\n")
    dice, end = random.Random(SEED), time.monotonic() + SECONDS
    while time.monotonic() < end:
        inject(cluster, dice.choice(list(FAULTS)))
        time.sleep(dice.uniform(0, 1))


def test_in_the_end_nothing_is_lost(
    cluster: Cluster, customers: list[Customer], record_property: Callable[[str, object], None]
) -> None:
    for customer in customers:
        customer.done.set()
    for customer in customers:
        if customer.is_alive():
            customer.join(timeout=30)
    promises.settle(cluster)
    kept = promises.check(cluster, customers)
    counts = ", ".join(f"{count} {what}" for what, count in kept.items())
    record_property("summary", f"{len(injected)} faults injected (seed {SEED}), and none lost of {counts}; no orphans")
    assert kept["keys"] > 20
