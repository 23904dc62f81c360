"""What an operator wants of a node."""

from nodes.models import Node
from nodes.states import Intent


def want(node: Node, intent: Intent) -> None:
    """Only an active node is given databases; what a node has, stays and is looked after in every case."""
    Node.objects.filter(pk=node.pk).update(intent=intent)
    node.intent = intent
