"""Which node takes an instance: the least loaded that can, its memory and a slot reserved in the same statement.

Constraints in the database keep a node from being oversold, whatever runs at once (ADR 2). Call inside a transaction:
what comes after and fails gives the reservation back by rolling back.
"""

import uuid
from dataclasses import dataclass

from django.db import connection, transaction
from django.utils import timezone

from instances.errors import NoNodeAvailable, UnknownRegion
from instances.states import Protocol
from nodes.models import PORTS_PER_SLOT, Node, Region
from nodes.states import Health, Intent

# What an engine needs beside the data it keeps, MiB. Webdis keeps none and takes 3, which Redis's share covers.
ENGINE_OVERHEAD_MB = 16
# Memcached does not start with less; the agent gives it this much whatever the plan says.
LEAST_MEMCACHED_MB = 64

REDIS_ENGINES = ["valkey", "redis"]
# protocol -> (one of these engines is needed, all of these are needed, the memory for them)
NEEDS: dict[str, tuple[list[str], list[str], str]] = {
    Protocol.REDIS: (REDIS_ENGINES, [], "{redis}"),
    Protocol.MEMCACHED: (["memcached"], ["memcached"], "{memcached}"),
    Protocol.BOTH: (REDIS_ENGINES, ["memcached"], "{redis} + {memcached}"),
}
NEEDED_MB = {
    "redis": f"c.storage_mb + {ENGINE_OVERHEAD_MB}",
    "memcached": f"greatest(c.storage_mb, {LEAST_MEMCACHED_MB}) + {ENGINE_OVERHEAD_MB}",
}

# Which nodes can take it, the least loaded first.
CANDIDATE = """
    SELECT c.id, c.storage_mb, {needed} AS needed_mb
      FROM (SELECT *, coalesce(%(storage)s, default_storage_mb) AS storage_mb FROM nodes_node) c
     WHERE c.intent = 'active' AND c.health = 'online' {only}
       AND c.engines && %(any)s::varchar[] AND c.engines @> %(all)s::varchar[]
       AND c.slots_used < c.slots
       AND c.reserved_mb + {needed} <= c.capacity_mb
     ORDER BY c.load LIMIT 1
"""

# Materialized: as a subquery in FROM the choice may be made anew for each row that it is joined with, and the second
# time it passes over the node that this very statement has changed: both would be charged.
RESERVE = """
      WITH pick AS MATERIALIZED ({candidate} FOR UPDATE {wait})
    UPDATE nodes_node n
       SET reserved_mb = n.reserved_mb + pick.needed_mb, slots_used = n.slots_used + 1
      FROM pick
     WHERE n.id = pick.id
 RETURNING n.id, pick.storage_mb, pick.needed_mb
"""

FREE_SLOT = """
    SELECT s FROM generate_series(0, %s - 1) s
     WHERE NOT EXISTS (SELECT 1 FROM instances_instance i WHERE i.node_id = %s AND i.slot = s)
     ORDER BY s LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Reservation:
    node: Node
    slot: int
    storage_mb: int
    reserved_mb: int
    redis_port: int | None
    memcached_port: int | None
    http_port: int | None


def reserve(*, region: str | None, protocol: str, storage_mb: int | None) -> Reservation:
    """Takes memory and a slot on a node. `storage_mb` None: the node's default size.

    Raises UnknownRegion, NoNodeAvailable.
    """
    search = Search(region, protocol, storage_mb)
    # Passing over nodes that somebody else is just reserving is fast; when all of them are busy, wait for one.
    row = search.take_free() or search.wait_for_one()
    if row is None:
        known = list(Region.objects.values_list("slug", flat=True))
        if region is not None and region not in known:
            raise UnknownRegion(region, known)
        raise NoNodeAvailable(why_none(region, protocol))
    node_id, storage, reserved = row
    node = Node.objects.get(pk=node_id)
    slot = free_slot(node)
    port = node.first_port + slot * PORTS_PER_SLOT
    speaks_redis = protocol != Protocol.MEMCACHED
    return Reservation(
        node=node,
        slot=slot,
        storage_mb=storage,
        reserved_mb=reserved,
        redis_port=port if speaks_redis else None,
        memcached_port=port + 1 if protocol != Protocol.REDIS else None,
        http_port=port + 2 if speaks_redis and "webdis" in node.engines else None,
    )


def release(instance_id: uuid.UUID) -> None:
    """Gives back what a deleted instance held. Twice is once."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH held AS (SELECT id, node_id, reserved_mb FROM instances_instance
                           WHERE id = %s AND slot IS NOT NULL FOR UPDATE),
                 freed AS (UPDATE instances_instance i SET slot = NULL, reserved_mb = 0, updated_at = %s
                             FROM held WHERE i.id = held.id)
            UPDATE nodes_node n SET reserved_mb = n.reserved_mb - held.reserved_mb, slots_used = n.slots_used - 1
              FROM held WHERE n.id = held.node_id
            """,
            [instance_id, timezone.now()],
        )


Row = tuple[uuid.UUID, int, int]  # node, storage of the database, memory reserved for it


@dataclass(frozen=True, slots=True)
class Search:
    region: str | None
    protocol: str
    storage_mb: int | None

    def take_free(self) -> Row | None:
        """The best of the nodes that nobody else is at."""
        return self.ask(RESERVE.format(candidate=self.candidate(), wait="SKIP LOCKED"))

    def wait_for_one(self) -> Row | None:
        """The best node, however long others are at it; None when no node has room.

        One node at a time, and the lock on one that was full after all is given back by its savepoint: whoever waits
        holds nothing that others wait for, so there is no deadlock.
        """
        while best := self.ask(self.candidate()):
            with transaction.atomic():
                taken = self.ask(RESERVE.format(candidate=self.candidate("AND c.id = %(node)s"), wait=""), best[0])
                if taken:
                    return taken
                transaction.set_rollback(True)
        return None

    def candidate(self, only: str = "") -> str:
        region = "AND c.region_id = %(region)s" if self.region is not None else ""
        needed = NEEDS[self.protocol][2].format(**NEEDED_MB)
        return CANDIDATE.format(needed=needed, only=f"{region} {only}")

    def ask(self, statement: str, node: uuid.UUID | None = None) -> Row | None:
        any_of, all_of, _ = NEEDS[self.protocol]
        values = {
            "node": node,
            "region": self.region,
            "storage": self.storage_mb,
            "any": any_of,
            "all": all_of,
        }
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            row: Row | None = cursor.fetchone()
        return row


def free_slot(node: Node) -> int:
    """The lowest slot that nobody holds; there is one, since the node's row is locked and its count left room."""
    with connection.cursor() as cursor:
        cursor.execute(FREE_SLOT, [node.slots, node.pk])
        slot: int = cursor.fetchone()[0]
    return slot


def why_none(region: str | None, protocol: str) -> str:
    """For the log and the console: how many nodes fail at which condition."""
    nodes = Node.objects.filter(region_id=region) if region is not None else Node.objects.all()
    any_of, all_of, _ = NEEDS[protocol]
    active = nodes.filter(intent=Intent.ACTIVE)
    online = active.filter(health=Health.ONLINE)
    able = online.filter(engines__overlap=any_of, engines__contains=all_of)
    return (
        f"region {region or 'any'}, protocol {protocol}: {nodes.count()} nodes, {active.count()} active, "
        f"{online.count()} of them online, {able.count()} of them with the engines, "
        "none of those with enough memory and a free slot"
    )
