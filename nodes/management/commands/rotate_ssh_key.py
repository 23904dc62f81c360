from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts import actors
from nodes import key_rotation
from nodes.errors import NodeError
from nodes.models import Node


class Command(BaseCommand):
    help = "Replace the control plane's SSH key on all nodes: first --new-key, and later --retire-old."

    def add_arguments(self, parser: ArgumentParser) -> None:
        phase = parser.add_mutually_exclusive_group(required=True)
        phase.add_argument("--new-key", metavar="PATH", help="nodes take this key too; it is made if it is not there")
        phase.add_argument("--retire-old", action="store_true", help="nodes take the key in use only")
        parser.add_argument("--old-key", metavar="PATH", help="with --retire-old: prove that it is refused")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["old_key"] and not options["retire_old"]:
            raise CommandError("--old-key goes with --retire-old.")
        try:
            if options["retire_old"]:
                self.retire_old(options["old_key"])
            else:
                self.install(str(Path(options["new_key"]).absolute()))
        except NodeError as error:
            raise CommandError(str(error)) from error

    def install(self, new_key: str) -> None:
        key_rotation.make_pair(new_key)
        self.show(key_rotation.install(new_key, by=actors.command()), "takes the new key")
        self.stdout.write(
            f"Every node takes the new key. Set BASEKV_SSH_KEY to {new_key} everywhere, restart the workers, and then "
            f"run: rotate_ssh_key --retire-old --old-key {settings.BASEKV_SSH_KEY}"
        )

    def retire_old(self, old_key: str | None) -> None:
        outcomes = key_rotation.retire_old(old_key, by=actors.command())
        self.show(outcomes, "refuses the old key" if old_key else "takes the key in use only")
        self.stdout.write(f"Every node takes {settings.BASEKV_SSH_KEY} and no other key of ours.")

    def show(self, outcomes: Iterator[tuple[Node, NodeError | None]], done: str) -> None:
        """Raises CommandError, which names the nodes that failed."""
        tried, failed = 0, []
        for node, error in outcomes:
            tried += 1
            if error:
                failed.append(node.name)
            self.stdout.write(f"  {node.name:<20} {f'FAILED: {error}' if error else done}")
        if failed:
            left = Node.objects.count() - tried
            untouched = f" {left} nodes were left as they are." if left else ""
            raise CommandError(
                f"Failed: {', '.join(failed)}.{untouched} Mend what is said above, and run this again before you go on."
            )
