from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import actors
from billing import plans
from billing.errors import BillingError
from billing.plans import LARGEST, LARGEST_STORAGE_MB, LIMITS


def limit(text: str) -> int | None:
    if text == "unlimited":
        return None
    if not text.isdecimal() or int(text) > LARGEST:
        raise ArgumentTypeError(f"a limit is a whole number from 0 to {LARGEST}, or 'unlimited'")
    return int(text)


class Command(BaseCommand):
    help = "Change a plan's limits from the next request on. With all three limits, an unknown plan is made."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        for name in LIMITS:
            parser.add_argument(f"--{name.replace('_', '-')}", type=limit, metavar="N|unlimited", default=SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        changes = {name: options[name] for name in LIMITS if name in options}
        storage_mb = changes.get("max_storage_mb")
        if storage_mb is not None and not 1 <= storage_mb <= LARGEST_STORAGE_MB:
            raise CommandError(f"--max-storage-mb takes 1 to {LARGEST_STORAGE_MB}, or 'unlimited'.")
        try:
            plan = plans.set_limits(options["slug"], changes, by=actors.command())
        except BillingError as error:
            raise CommandError(str(error)) from None
        shown = (getattr(plan, name) for name in LIMITS)
        values = ["unlimited" if value is None else str(value) for value in shown]
        self.stdout.write(f"{plan.slug}: " + ", ".join(f"{n} {v}" for n, v in zip(LIMITS, values, strict=True)))
