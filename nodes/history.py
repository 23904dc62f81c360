"""How the nodes were: one sample of each for every minute, one more for every change of health; kept for a week."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from nodes.errors import NodeError
from nodes.models import HealthSample, Node

KEPT = timedelta(days=7)


def of(node: Node, since: datetime) -> QuerySet[HealthSample]:
    """Its samples from `since` on, the oldest first."""
    return HealthSample.objects.filter(node=node, at__gte=since).order_by("at")


def record(round: Sequence[tuple[Node, Mapping[str, Any] | NodeError]]) -> None:
    """What a probe round found, after it was written down: two queries, however many nodes.

    The nodes are as they were loaded before it. Of the rounds within a minute the first one gives the minute's sample.
    """
    now = timezone.now()
    rows = Node.objects.filter(pk__in=[node.pk for node, _ in round]).values_list("pk", "health", "clock_skew")
    after = {pk: (health, skew) for pk, health, skew in rows}
    samples = []
    for node, answer in round:
        if node.pk not in after:
            continue  # it was removed meanwhile
        health, skew = after[node.pk]
        found = said(answer) if isinstance(answer, NodeError) else measured(answer) | {"clock_skew": skew}
        moments = [now.replace(second=0, microsecond=0), *([now] if health != node.health else [])]
        samples += [HealthSample(node=node, at=at, health=health, **found) for at in moments]
    HealthSample.objects.bulk_create(samples, ignore_conflicts=True)


def said(error: NodeError) -> dict[str, Any]:
    return {"error": str(error)}


def measured(report: Mapping[str, Any]) -> dict[str, Any]:
    """Nothing where the agent says something else: one node's nonsense must not cost the others their samples."""
    try:
        memory, disk = report["memory"], report["disk"]
        return {
            "load": report["load"][0] / report["cpus"],
            "memory": 1 - memory["available_mb"] / memory["total_mb"],
            "disk": 1 - disk["free_mb"] / disk["total_mb"],
        }
    except (LookupError, TypeError, ZeroDivisionError):
        return {}


def forget() -> int:
    """Removes what is older than KEPT; returns how much that was."""
    return HealthSample.objects.filter(at__lt=timezone.now() - KEPT).delete()[0]
