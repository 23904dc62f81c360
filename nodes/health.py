"""How the nodes are: all of them probed at once, health derived from the last good probe."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from accounts import clock
from accounts.clock import Now
from nodes import history, transport
from nodes.errors import HostKeyMismatch, NodeError
from nodes.models import Node
from nodes.states import Health
from nodes.transport import Endpoint

logger = logging.getLogger(__name__)

PROBE_TIMEOUT = 8.0  # seconds
# Measured from the last good probe. With a probe every 10 s, one lost probe changes nothing.
STALE_AFTER = timedelta(seconds=25)
OFFLINE_AFTER = timedelta(seconds=90)
# What the column can hold.
LATEST_RELEASE = 2**31


def endpoint(node: Node) -> Endpoint:
    return Endpoint(host=node.ssh_host, port=node.ssh_port, user=node.ssh_user, host_key=node.host_key)


def probe_all() -> None:
    """A round of all nodes; what this process kept open to a node that is none any more, or moved, is closed."""
    nodes = list(Node.objects.all())
    transport.close(but={endpoint(node) for node in nodes})
    probe(nodes)


def probe(nodes: Sequence[Node]) -> None:
    """Probes these nodes at once and writes down what came back."""
    began = clock.now()
    answers = transport.call_many(
        [(endpoint(node), {"verb": "probe"}) for node in nodes],
        timeout=PROBE_TIMEOUT,
    )
    for node, answer in zip(nodes, answers, strict=True):
        if isinstance(answer, NodeError):
            missed(node, answer)
        else:
            seen(node, answer, began)
    history.record(list(zip(nodes, answers, strict=True)))


def seen(node: Node, report: dict[str, Any], began: datetime) -> None:
    """A good probe makes a node online. An answer older than the one that is there is passed over."""
    engines = report.get("engines")
    remember_since(node.report.get("instances", []), report.get("instances", []), began)
    # One of tomorrow was written before the clock was put back.
    news = Node.objects.filter(pk=node.pk).exclude(reported_at__gt=began, reported_at__lte=Now())
    news.exclude(health=Health.ONLINE).update(online_since=Now())
    news.update(
        health=Health.ONLINE,
        seen_at=Now(),
        reported_at=began,
        report=report,
        clock_skew=report["time"] - began.timestamp() if "time" in report else None,
        engines=sorted(engines) if isinstance(engines, dict) else [],
        agent_digest=str(report.get("agent", ""))[:64],
        agent_release=release(report),
        last_error="",
        host_key_seen="",
    )


def release(report: dict[str, Any]) -> int:
    """Agents did not always say one."""
    said = report.get("release")
    return said if isinstance(said, int) and 0 < said < LATEST_RELEASE else 0


def remember_since(before: list[dict[str, Any]], now: list[dict[str, Any]], began: datetime) -> None:
    """Writes into each instance of a report since when it has been in its state, without a break in the reports."""
    since = {(item["id"], item["state"]): item.get("since") for item in before}
    for item in now:
        known = since.get((item["id"], item["state"])) or began.isoformat()
        item["since"] = min(known, began.isoformat(), key=datetime.fromisoformat)


def missed(node: Node, error: NodeError) -> None:
    unseen = clock.now() - (node.seen_at or node.created_at)
    put_back = unseen < -OFFLINE_AFTER  # it was seen before the clock was, nobody knows how long ago
    health = Health.OFFLINE if unseen > OFFLINE_AFTER or put_back else Health.STALE if unseen > STALE_AFTER else None
    changes: dict[str, Any] = {}
    if isinstance(error, HostKeyMismatch):
        # Somebody else may answer there: no time to lose, and nothing to hope for.
        logger.error("%s: %s", node, error)
        health = Health.OFFLINE
        changes["host_key_seen"] = error.seen
    if health:
        changes["health"] = health
    # Unless somebody else has seen it meanwhile.
    Node.objects.filter(pk=node.pk, seen_at=node.seen_at).update(last_error=str(error), **changes)
