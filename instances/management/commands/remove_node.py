import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import actors
from instances.removal import NodeInUse, remove
from nodes.management.naming import find


class Command(BaseCommand):
    help = "Take a node out of the fleet for good. The machine itself is not touched."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument(
            "--write-off",
            action="store_true",
            help="the machine is gone for good, and its databases with it: give up everything that it held",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            lost = remove(find(options["name"]), write_off=options["write_off"], by=actors.command())
        except NodeInUse as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps({"removed": options["name"], "lost": [asdict(item) for item in lost]}))
            return
        for item in lost:
            self.stdout.write(f"lost: {item.instance_id} {item.name} of {item.account}")
        self.stdout.write(f"{options['name']} is removed; {len(lost)} databases are lost with it.")
