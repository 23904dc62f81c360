"""Compares what the nodes report with what is wanted, and asks for what is missing. Repeated for ever by the beat."""

import logging
from dataclasses import dataclass
from typing import Any

from instances import lifecycle
from instances.errors import InvalidTransition
from instances.models import Instance
from instances.states import Status
from nodes.models import Node
from nodes.states import Health

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drift:
    """An instance that should be running, and what its node reports instead."""

    instance: Instance
    found: str


def reconcile() -> list[Drift]:
    """Asks for a recovery of every instance that drifted; returns them."""
    found = drift()
    for item in found:
        try:
            lifecycle.recover(item.instance, found=item.found)
        except InvalidTransition:
            # Somebody asked for something else in this moment; that will be compared next time.
            logger.info("%s is %s by now", item.instance, item.instance.status)
    return found


def drift() -> list[Drift]:
    """Only what a report can know counts: it began after the instance's last change."""
    return [
        Drift(instance, found)
        for node in Node.objects.filter(health=Health.ONLINE).exclude(reported_at=None)
        for instance in Instance.objects.filter(
            node=node, status=Status.RUNNING, updated_at__lt=node.reported_at
        ).order_by("id")
        if (found := difference(instance, reported(node).get(str(instance.pk))))
    ]


def reported(node: Node) -> dict[str, dict[str, Any]]:
    return {item["id"]: item for item in node.report.get("instances", [])}


def difference(instance: Instance, item: dict[str, Any] | None) -> str:
    if item is None:
        return "it is not there"
    if item["state"] != "running":
        return f"it is {item['state']}"
    if item["generation"] != instance.generation:
        return f"it has generation {item['generation']} and not {instance.generation}"
    return ""
