from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import actors
from nodes import upgrades
from nodes.management.naming import find


class Command(BaseCommand):
    help = "Bring this release's agent to nodes now, as the worker does by and by. The first is the canary."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "names", nargs="*", metavar="NAME", help="default: all online ones with an older or changed agent"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        nodes = [find(name) for name in options["names"]] or list(upgrades.reachable())
        failed = 0
        for node, error in upgrades.upgrade_now(nodes, by=actors.command()):
            failed += error is not None
            self.stdout.write(f"  {node.name:<20} {error or 'upgraded'}")
        if failed:
            raise CommandError("Not every node has the new agent. Mend what is said above, and run this again.")
        self.stdout.write("Every node asked for has this release's agent.")
