"""Compares what the nodes report with what is wanted, and asks for what is missing. Repeated for ever by the beat."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q

from accounts.clock import Now
from instances import lifecycle
from instances.errors import InvalidTransition
from instances.models import Instance, Operation
from instances.states import Status
from nodes.models import Node
from nodes.states import Health

# How long a database may be silent before it is restarted.
PATIENCE = timedelta(seconds=30)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drift:
    """An instance that should be running, and what its node reports instead."""

    instance: Instance
    found: str


def reconcile() -> list[Drift]:
    """Asks for a recovery of every instance that drifted; returns them."""
    hasten()
    found = drift()
    for item in found:
        try:
            lifecycle.recover(item.instance, found=item.found)
        except InvalidTransition:
            # Somebody asked for something else in this moment; that will be compared next time.
            logger.info("%s is %s by now", item.instance, item.instance.status)
    return found


def hasten() -> int:
    """What waits for its next try, and whose node has come back since its last one, is due now; returns how much."""
    waiting = Operation.objects.filter(finished_at=None, lease=None, due_at__gt=Now())
    back = waiting.filter(instance__node__health=Health.ONLINE, instance__node__online_since__gt=F("attempted_at"))
    return back.update(due_at=Now())


def drift() -> list[Drift]:
    """Only what a report can know counts: it began after the instance's last change."""
    nodes = Node.objects.filter(health=Health.ONLINE).exclude(reported_at=None)
    return [item for node in nodes for item in drift_of(node)]


def drift_of(node: Node) -> Iterator[Drift]:
    reported = {item["id"]: item for item in node.report.get("instances", [])}
    # What changed in the future did so before the clock was put back, and a report of the past came after that.
    known = Q(updated_at__lt=node.reported_at) | Q(updated_at__gt=Now(), node__reported_at__lte=Now())
    running = Instance.objects.select_related("node").filter(known, node=node, status=Status.RUNNING)
    for instance in running.order_by("id"):
        if found := difference(node, instance, reported.get(str(instance.pk))):
            yield Drift(instance, found)


def difference(node: Node, instance: Instance, item: dict[str, Any] | None) -> str:
    """What is wrong, or nothing. A database that is there and does not answer may be busy with its customer's own
    script, or read its data from disk: a restart would make that worse, so it gets time."""
    if item is None:
        return "it is not there"
    if item["state"] == "broken" and (item.get("reason") == "loading" or not lasted(node, item)):
        return ""
    if item["state"] != "running":
        return f"it is {item['state']}"
    if item["generation"] != instance.generation:
        return f"it has generation {item['generation']} and not {instance.generation}"
    if changed := item.get("changed"):
        return f"somebody has changed the configuration of its {', '.join(changed)}"
    return ""


def lasted(node: Node, item: dict[str, Any]) -> bool:
    assert node.reported_at is not None
    return node.reported_at - datetime.fromisoformat(item["since"]) >= PATIENCE
