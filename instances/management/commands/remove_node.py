from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from instances.removal import NodeHasInstances, remove
from nodes.management.naming import find


class Command(BaseCommand):
    help = "Take a node out of the fleet. Refused while it has databases, unless they are written off with it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--write-off", action="store_true", help="its databases are lost: free what they held")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            written_off = remove(find(options["name"]), write_off=options["write_off"])
        except NodeHasInstances as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{options['name']} is no node any more; {written_off} databases were written off.")
