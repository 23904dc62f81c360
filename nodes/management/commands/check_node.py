import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from nodes import checks
from nodes.management.naming import find


class Command(BaseCommand):
    help = "Ask a node for everything that it needs, and say what to do about what it lacks. Exit status 1 if it does."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--json", action="store_true", help="print one JSON array")

    def handle(self, *args: Any, **options: Any) -> None:
        found = checks.check(find(options["name"]))
        if options["json"]:
            self.stdout.write(json.dumps([check._asdict() for check in found], indent=2))
        else:
            for check in found:
                self.stdout.write(f"  {check.title:<10} {'ok' if check.ok else 'NOT OK':<7} {check.found}")
        missing = [check for check in found if not check.ok]
        if missing:
            raise CommandError("\n".join(f"{check.title}: {check.advice}" for check in missing))
