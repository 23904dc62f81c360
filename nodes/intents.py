"""What an operator wants of a node."""

from django.db import transaction

from accounts import audit
from accounts.actors import Actor
from nodes.models import Node
from nodes.states import Intent

ACTIONS = {Intent.ACTIVE: "node.activate", Intent.DRAINING: "node.drain", Intent.DISABLED: "node.disable"}


@transaction.atomic
def want(node: Node, intent: Intent, *, by: Actor) -> None:
    """Only an active node is given databases; what a node has, stays and is looked after in every case."""
    before = Node.objects.select_for_update(no_key=True).get(pk=node.pk).intent
    Node.objects.filter(pk=node.pk).update(intent=intent)
    node.intent = intent
    if before != intent:
        audit.record(
            actor=by, action=ACTIONS[intent], subject=node, before={"intent": before}, after={"intent": intent}
        )
