"""Commands about one node, which is named by its first argument."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import actors
from nodes import intents
from nodes.models import Node
from nodes.states import Intent


def find(name: str) -> Node:
    """Raises CommandError."""
    node = Node.objects.filter(name=name).first()
    if node is None:
        raise CommandError(f"There is no node {name!r}. list_nodes shows them.")
    return node


class IntentCommand(BaseCommand):
    intent: Intent

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        node = find(options["name"])
        intents.want(node, self.intent, by=actors.command())
        self.stdout.write(f"{node.name} is {node.intent} and {node.health}; it has {node.slots_used} databases.")
