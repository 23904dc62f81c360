"""What nodes have and nobody wants: a database whose deletion never reached its node, or whose row was lost.

It is stopped and kept for a day, since the one that is wrong may be our own database, restored from a backup.
"""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts import audit
from accounts.actors import SYSTEM
from accounts.clock import Now
from instances.models import Instance, Orphan
from nodes import transport
from nodes.errors import AgentError, NodeError
from nodes.health import endpoint
from nodes.models import Node
from nodes.states import Health

logger = logging.getLogger(__name__)

KEPT = timedelta(hours=24)


def find() -> list[Orphan]:
    """The orphans of all nodes that are online, not yet written down."""
    nodes = Node.objects.filter(health=Health.ONLINE).exclude(reported_at=None)
    return [orphan for node in nodes for orphan in find_on(node)]


def find_on(node: Node) -> Iterator[Orphan]:
    assert node.reported_at is not None
    reported = {item["id"]: item for item in node.report.get("instances", [])}
    for id in reported.keys() - wanted_or_too_new(node, reported.keys(), node.reported_at):
        yield Orphan(node=node, instance_id=id, generation=max(reported[id]["generation"], 1))


def wanted_or_too_new(node: Node, ids: Iterable[str], reported_at: datetime) -> set[str]:
    """Those that hold their place on the node, or gave it back only after the report began."""
    rows = Instance.objects.filter(Q(slot__isnull=False) | Q(updated_at__gte=reported_at), node=node, pk__in=ids)
    return {str(pk) for pk in rows.values_list("pk", flat=True)}


def quarantine(found: Iterable[Orphan]) -> None:
    """Writes them down, and stops those that run."""
    Orphan.objects.bulk_create(found, ignore_conflicts=True)
    for orphan in ask(within_reach().filter(quarantined_at=None), "quarantine"):
        logger.warning("Quarantined: %s", orphan)
        Orphan.objects.filter(pk=orphan.pk).update(quarantined_at=Now())


def erase() -> None:
    """Erases those that were kept for long enough."""
    for orphan in ask(within_reach().filter(quarantined_at__lt=Now() - KEPT), "remove"):
        logger.warning("Erased: %s", orphan)
        with transaction.atomic():
            Orphan.objects.filter(pk=orphan.pk).update(erased_at=Now())
            audit.record(actor=SYSTEM, action="orphan.erase", subject=orphan)


def within_reach() -> QuerySet[Orphan]:
    """Those on nodes that answer; never one that is wanted, whatever led to its being here."""
    wanted = Instance.objects.filter(slot__isnull=False).values("pk")
    return Orphan.objects.filter(erased_at=None, node__health=Health.ONLINE).exclude(instance_id__in=wanted)


def ask(orphans: QuerySet[Orphan], verb: str) -> Iterator[Orphan]:
    """Yields those of which the node has said that it is done, or that it knows nothing of them."""
    asked = list(orphans.select_related("node"))
    requests = [
        (endpoint(orphan.node), {"verb": verb, "instance": str(orphan.instance_id), "generation": orphan.generation})
        for orphan in asked
    ]
    for orphan, answer in zip(asked, transport.call_many(requests), strict=True):
        if not isinstance(answer, NodeError) or (isinstance(answer, AgentError) and answer.code == "unknown_instance"):
            yield orphan
        else:
            logger.warning("Cannot %s %s: %s", verb, orphan, answer)
