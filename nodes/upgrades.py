"""New agents for the nodes, by the agents themselves: our key may do nothing else."""

import base64
import zlib
from collections.abc import Iterator

from accounts import audit
from accounts.actors import Actor
from nodes import health, packing, transport
from nodes.errors import NodeError
from nodes.health import endpoint
from nodes.models import Node


def outdated() -> list[Node]:
    return list(Node.objects.exclude(agent_digest=packing.pack().digest))


def upgrade(node: Node, *, by: Actor) -> None:
    """Sends the agent, and proves by a probe that the new one answers. Raises NodeError."""
    packed = packing.pack()
    before = node.agent_digest
    request = {
        "verb": "upgrade",
        "agent": base64.b64encode(zlib.compress(packed.data, 9)).decode(),
        "sha256": packed.digest,
    }
    transport.call(endpoint(node), request)
    health.probe([node])
    node.refresh_from_db()
    if node.agent_digest != packed.digest:
        raise NodeError(f"{node} still has the agent {node.agent_digest[:12]}. {node.last_error}")
    audit.record(
        actor=by, action="node.upgrade", subject=node, before={"agent": before}, after={"agent": node.agent_digest}
    )


def upgrade_all(nodes: list[Node], *, by: Actor) -> Iterator[tuple[Node, NodeError | None]]:
    """One after the other; the first is the canary: if it fails, no other is touched."""
    for index, node in enumerate(nodes):
        try:
            upgrade(node, by=by)
        except NodeError as error:
            yield node, error
            if index == 0:
                return
        else:
            yield node, None
