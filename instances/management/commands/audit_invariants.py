import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from instances import invariants
from instances.checks import Finding
from nodes import health
from nodes.models import Node

BROKEN = 3


class Command(BaseCommand):
    help = (
        "Check what must always be true of BaseKV's database, and with --nodes of the nodes too. It changes nothing "
        f"and may run at any time. The exit status is {BROKEN} if something is broken; the suspicious is only printed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--nodes", action="store_true", help="probe the nodes, and compare what they have")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        found = invariants.check()
        if options["nodes"]:
            health.probe(list(Node.objects.all()))
            found += invariants.on_nodes()
        broken = [finding for finding in found if not finding.suspicious]
        suspicious = [finding for finding in found if finding.suspicious]
        if options["json"]:
            answer = {"broken": list(map(asdict, broken)), "suspicious": list(map(asdict, suspicious))}
            self.stdout.write(json.dumps(answer, indent=2))
        else:
            self.stdout.write("\n".join(lines(broken, suspicious)))
        if broken:
            sys.exit(BROKEN)


def lines(broken: list[Finding], suspicious: list[Finding]) -> list[str]:
    shown = []
    for word, found in (("broken", broken), ("suspicious", suspicious)):
        for finding in found:
            shown.append(f"{word} {finding.check}: {finding.subject_type} {finding.subject_id}: {finding.what}")
            shown.append(f"    {finding.what_to_do}")
    return shown or ["Nothing is broken."]
