"""Whether a node has all that it needs, and what to do about what it lacks."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from nodes import health, packing, transport
from nodes.errors import HostKeyMismatch, LoginRefused, NodeError
from nodes.health import endpoint
from nodes.models import Node
from nodes.states import Intent

LEAST_FREE_DISK_MB = 1024
MOST_CLOCK_SKEW = 5.0
OLDEST_REDIS = 7


class Check(NamedTuple):
    title: str
    ok: bool
    found: str
    advice: str
    """What to do if it is not."""


def check(node: Node) -> list[Check]:
    """Asks the node now. The first check that fails for want of an answer is the last."""
    try:
        report = transport.call(endpoint(node), {"verb": "probe"})
    except NodeError as error:
        return [Check("answer", False, str(error), advice(error))]
    return [Check("answer", True, f"{node.ssh_user} at {node.ssh_host}:{node.ssh_port}", ""), *judge(node, report)]


def advice(error: NodeError) -> str:
    if isinstance(error, HostKeyMismatch):
        return "Find out whether the machine was set up anew. If so: remove_node, then enroll_node."
    if isinstance(error, LoginRefused):
        return "Compare BASEKV_SSH_KEY with the node's authorized_keys, or run enroll_node again."
    return "Look at the machine, its sshd, and the way to it; enroll_node repairs the agent."


def judge(node: Node, report: dict[str, Any]) -> Iterator[Check]:
    again = "Run enroll_node again."
    found = f"release {health.release(report)} ({report['agent'][:12]}). {node.upgrade_error}".strip()
    yield Check("agent", is_current(node, report), found, "Run upgrade_agents.")
    engines = report["engines"]
    redis = engines.get("valkey") or engines.get("redis") or ""
    yield Check("redis", redis.split(".")[0].isdigit() and int(redis.split(".")[0]) >= OLDEST_REDIS, redis, again)
    for kind in ("memcached", "webdis"):
        yield Check(kind, kind in engines, engines.get(kind, "missing"), again)
    skew = abs(report["time"] - time.time())
    yield Check("clock", skew <= MOST_CLOCK_SKEW, f"{skew:.1f} s apart", "Synchronise the node's clock (NTP).")
    free = report["disk"]["free_mb"]
    yield Check("disk", free >= LEAST_FREE_DISK_MB, f"{free} MiB free", "Make room in /var/lib.")
    total = report["memory"]["total_mb"]
    smaller = "Enrol it again with a smaller --capacity-mb."
    yield Check("memory", node.capacity_mb <= total, f"{node.capacity_mb} of {total} MiB are for databases", smaller)
    yield Check(
        "intent", node.intent == Intent.ACTIVE, node.intent, f"If it is to have databases: activate_node {node}"
    )


def is_current(node: Node, report: dict[str, Any]) -> bool:
    """As `upgrades.outdated` has it, by this report."""
    found, ours = health.release(report), packing.pack().release
    return found > ours or (found == ours and report["agent"] == node.installed_digest)
