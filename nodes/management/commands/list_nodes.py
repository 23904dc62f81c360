import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from nodes.models import Node

COLUMNS = [
    "name",
    "region",
    "host",
    "intent",
    "health",
    "engines",
    "databases",
    "memory",
    "seen_at",
    "agent_release",
    "last_error",
]


class Command(BaseCommand):
    help = "List the nodes: what is wanted of them, how they are, how much of them is given away."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--region", metavar="SLUG")
        parser.add_argument("--json", action="store_true", help="print one JSON array")

    def handle(self, *args: Any, **options: Any) -> None:
        nodes = Node.objects.all()
        if options["region"]:
            nodes = nodes.filter(region_id=options["region"])
        rows = [row(node) for node in nodes]
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        lines = [COLUMNS, *([str(item[column]) for column in COLUMNS] for item in rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())


def row(node: Node) -> dict[str, Any]:
    return {
        "id": str(node.pk),
        "name": node.name,
        "region": node.region_id,
        "host": node.host,
        "intent": node.intent,
        "health": node.health,
        "engines": " ".join(node.engines),
        "databases": node.slots_used,
        "memory": f"{node.reserved_mb}/{node.capacity_mb} MiB",
        "seen_at": node.seen_at.isoformat(timespec="seconds") if node.seen_at else None,
        "agent_release": node.agent_release,
        "last_error": node.last_error or node.upgrade_error,
    }
