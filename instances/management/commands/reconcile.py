import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from instances import orphans, reconcile
from nodes import health
from nodes.models import Node
from nodes.states import Health

DRIFT_FOUND = 3


class Command(BaseCommand):
    help = (
        "Probe the nodes, compare what they report with what is wanted, and mend the difference; the beat does so all "
        f"the time. With --dry-run nothing is changed, and the exit status is {DRIFT_FOUND} if there is a difference."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="print the drift and change nothing")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        health.probe(list(Node.objects.all()))
        drift, strays = reconcile.drift(), orphans.find()
        if not options["dry_run"]:
            reconcile.reconcile()
            orphans.quarantine(strays)
            orphans.erase()
        found = {
            "drift": [
                {"instance": str(item.instance.pk), "node": item.instance.node.name, "found": item.found}
                for item in drift
            ],
            "orphans": [{"instance": str(item.instance_id), "node": item.node.name} for item in strays],
            "silent_nodes": [
                {"node": node.name, "health": node.health, "last_error": node.last_error}
                for node in Node.objects.exclude(health=Health.ONLINE)
            ],
        }
        self.stdout.write(json.dumps(found, indent=2) if options["json"] else "\n".join(lines(found)))
        if options["dry_run"] and (drift or strays):
            sys.exit(DRIFT_FOUND)


def lines(found: dict[str, list[dict[str, str]]]) -> list[str]:
    shown = [f"{item['instance']} on {item['node']}: {item['found']}" for item in found["drift"]]
    shown += [f"{item['instance']} on {item['node']}: nobody wants it" for item in found["orphans"]]
    shown += [f"{item['node']} is {item['health']}: {item['last_error']}" for item in found["silent_nodes"]]
    return shown or ["The nodes have what is wanted, and nothing else."]
