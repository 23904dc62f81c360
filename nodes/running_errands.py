"""Runs what the console asked for, and writes the answer where its page looks."""

import uuid

from django.utils import timezone

from accounts.actors import Actor
from nodes import errands, health, transport, upgrades
from nodes.errors import NodeError
from nodes.models import Errand, Node
from nodes.states import ErrandKind

LOG_LINES = 200


def run(errand_id: uuid.UUID, *, by: Actor) -> None:
    """Once, and soon or not at all: a message may come twice or late."""
    errand = Errand.objects.select_related("node").filter(pk=errand_id, finished_at=None).first()
    if errand is None or not errands.is_waited_for(errand):
        return
    try:
        answer, succeeded = RUN[ErrandKind(errand.kind)](errand, by), True
    except NodeError as error:
        answer, succeeded = str(error), False
    Errand.objects.filter(pk=errand.pk, finished_at=None).update(
        answer=answer, succeeded=succeeded, finished_at=timezone.now()
    )


def probe(errand: Errand, by: Actor) -> str:
    """Raises NodeError."""
    health.probe([errand.node])
    node = Node.objects.get(pk=errand.node_id)
    if node.last_error:
        raise NodeError(node.last_error)
    return "It answers."


def upgrade(errand: Errand, by: Actor) -> str:
    """Raises NodeError."""
    for _, error in upgrades.upgrade_now([errand.node], by=by):
        if error is not None:
            raise error
    return f"It has the agent of release {upgrades.ours()}."


def log(errand: Errand, by: Actor) -> str:
    """Raises NodeError."""
    request = {"verb": "logs", "instance": str(errand.instance_id), "lines": LOG_LINES}
    lines = transport.call(health.endpoint(errand.node), request)["lines"]
    return "\n".join(map(str, lines))


RUN = {ErrandKind.PROBE: probe, ErrandKind.UPGRADE: upgrade, ErrandKind.LOG: log}
