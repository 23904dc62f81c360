"""New agents for the nodes, by the agents themselves: our key may do nothing else.

Every worker looks for nodes to upgrade on a beat. Agents have an order, their release, and only a lower one is
replaced: control planes of two releases beside each other, as during a deployment, do not take turns. The first node is
the canary: until one node has answered with the new agent, no other is touched.
"""

import base64
import logging
import zlib
from collections.abc import Iterator, Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, When
from django.utils import timezone

from accounts import audit
from accounts.actors import SYSTEM, Actor
from nodes import health, packing, transport
from nodes.errors import NodeError, UpgradeError
from nodes.health import endpoint
from nodes.models import Node
from nodes.states import Health

logger = logging.getLogger(__name__)

Outcome = tuple[Node, NodeError | None]

AT_ONCE = 20
# Longer than a call and a probe may take.
LEASE = timedelta(seconds=60)
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)


def outdated() -> QuerySet[Node]:
    """Whose agent is of a lower release than ours, or of ours and not as it was installed."""
    changed = Q(agent_release=ours()) & ~Q(agent_digest=F("installed_digest"))
    return Node.objects.filter(Q(agent_release__lt=ours()) | changed).order_by("name")


def reachable() -> QuerySet[Node]:
    """Those that can be upgraded now."""
    return outdated().filter(health=Health.ONLINE)


def roll_out() -> list[Outcome]:
    """Upgrades whatever is due: the canary, or some of the others once this release has proven itself."""
    candidates = reachable()[:AT_ONCE] if is_proven() else canary()
    return upgrade([node for node in candidates if claim(node)], by=SYSTEM)


def is_proven() -> bool:
    """Whether some node has answered a probe with our agent, as it was installed."""
    return Node.objects.filter(agent_release=ours(), agent_digest=F("installed_digest")).exists()


def canary() -> list[Node]:
    """The one node that this release was tried on already, whatever became of it; or the first to try it on."""
    tried = outdated().filter(upgrade_release=ours()).first()
    if tried is None:
        return list(reachable()[:1])
    return [tried] if tried.health == Health.ONLINE else []


def upgrade_now(nodes: Sequence[Node], *, by: Actor) -> Iterator[Outcome]:
    """For an operator: at once, and also where a higher release is. The first one is the canary."""
    outcomes = upgrade([node for node in nodes[:1] if claim(node, whatever=True)], by=by)
    yield from outcomes
    if any(error for _, error in outcomes):
        return
    for start in range(1, len(nodes), AT_ONCE):
        yield from upgrade([node for node in nodes[start : start + AT_ONCE] if claim(node, whatever=True)], by=by)


def claim(node: Node, *, whatever: bool = False) -> bool:
    """Of two workers that want it, one gets it, and none before its time; `whatever` the time and the release."""
    now = timezone.now()
    until = now + LEASE
    due = Q(upgrade_due_at=None) | Q(upgrade_due_at__lte=now) | ~Q(upgrade_release=ours())
    wanted = Node.objects.all() if whatever else outdated().filter(due)
    attempts = Case(When(upgrade_release=ours(), then=F("upgrade_attempts") + 1), default=1)
    got = wanted.filter(pk=node.pk).update(
        upgrade_release=ours(),
        upgrade_attempts=attempts,
        upgrade_due_at=until,
        # Before it is sent: should the answer get lost, the agent is still known as one of ours.
        installed_digest=packing.pack().digest,
    )
    node.upgrade_due_at = until
    return got == 1


def upgrade(nodes: Sequence[Node], *, by: Actor) -> list[Outcome]:
    """Sends claimed nodes the agent, all at once, and proves by a probe that it answers."""
    if not nodes:
        return []
    for node in nodes:
        if node.agent_release == ours() and node.agent_digest != node.installed_digest:
            logger.error("%s: somebody has changed its agent there. It is installed again.", node)
    packed = packing.pack()
    request = {
        "verb": "upgrade",
        "agent": base64.b64encode(zlib.compress(packed.data, 9)).decode(),
        "sha256": packed.digest,
    }
    answers = transport.call_many([(endpoint(node), request) for node in nodes])
    refusals = {node.pk: answer for node, answer in zip(nodes, answers, strict=True) if isinstance(answer, NodeError)}
    health.probe([node for node in nodes if node.pk not in refusals])
    outcomes = [(node, refusals.get(node.pk) or proof(node)) for node in nodes]
    for node, error in outcomes:
        write_down(node, error, by=by)
    return outcomes


def proof(node: Node) -> NodeError | None:
    """What the probe after the upgrade says against it."""
    found = Node.objects.get(pk=node.pk)
    if found.last_error:
        return UpgradeError(f"It was given release {ours()} and does not answer since: {found.last_error}")
    if found.agent_digest != packing.pack().digest:
        return UpgradeError(f"It was given release {ours()} and has the agent {found.agent_digest[:12]} instead.")
    return None


def write_down(node: Node, error: NodeError | None, *, by: Actor) -> None:
    """Unless the claim was over and is somebody else's by now."""
    mine = Node.objects.filter(pk=node.pk, upgrade_due_at=node.upgrade_due_at)
    if error is None:
        before = {"release": node.agent_release, "agent": node.agent_digest}
        after = {"release": ours(), "agent": packing.pack().digest}
        with transaction.atomic():
            if mine.update(upgrade_attempts=0, upgrade_due_at=None, upgrade_error=""):
                audit.record(actor=by, action="node.upgrade", subject=node, before=before, after=after)
        return
    logger.error("%s: its agent was not upgraded to release %d: %s", node, ours(), error)
    attempts = mine.values_list("upgrade_attempts", flat=True).first() or 1
    delay = min(FIRST_RETRY * 2 ** min(attempts - 1, 16), LONGEST_RETRY)
    mine.update(upgrade_due_at=timezone.now() + delay, upgrade_error=str(error))


def ours() -> int:
    return packing.pack().release
