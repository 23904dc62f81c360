import json
import sys
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from instances import alerts
from instances.models import Alert

SOMETHING_IS_WRONG = 3
FIELDS = ["id", "kind", "severity", "subject_type", "subject_id", "subject_label", "text", "what_to_do", "opened_at"]
FIELDS += ["last_seen_at", "acknowledged_at", "acknowledged_by"]


class Command(BaseCommand):
    help = (
        "List the open alerts, the gravest first, each with what to do about it. The exit status is "
        f"{SOMETHING_IS_WRONG} if there is one, or if nobody has looked lately."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        found, checked_at = list(alerts.open()), alerts.checked_at()
        silent = checked_at is None or checked_at < timezone.now() - alerts.SILENT_AFTER
        if options["json"]:
            shown = [{field: plain(getattr(alert, field)) for field in FIELDS} for alert in found]
            self.stdout.write(
                json.dumps({"checked_at": plain(checked_at), "silent": silent, "alerts": shown}, indent=2)
            )
        else:
            self.stdout.write("\n".join(lines(found, checked_at, silent)))
        if found or silent:
            sys.exit(SOMETHING_IS_WRONG)


def plain(value: Any) -> Any:
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else value


def lines(found: list[Alert], checked_at: datetime | None, silent: bool) -> list[str]:
    shown = []
    if silent:
        since = f"since {plain(checked_at)}" if checked_at else "ever"
        shown.append(f"Nobody has looked {since}: run the beat and a worker, or what follows is not the whole truth.")
    for alert in found:
        by = f", acknowledged by {alert.acknowledged_by}" if alert.acknowledged_at else ""
        shown += [
            f"{alert.severity} {alert.kind} {alert.subject_label} since {plain(alert.opened_at)}{by}",
            f"    {alert.text}",
            f"    {alert.what_to_do}",
        ]
    return shown or ["Nothing is wrong."]
