import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import actors
from accounts.errors import AccountError
from billing import plans
from billing.errors import BillingError


class Command(BaseCommand):
    help = "Open an account with an active subscription to a plan."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--plan", required=True, metavar="SLUG")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"].strip()
        if not 0 < len(name) <= 100:
            raise CommandError("The name takes 1 to 100 characters.")
        try:
            account = plans.open_account(name, plans.find(options["plan"]), by=actors.command())
        except (AccountError, BillingError) as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps({"id": str(account.pk), "name": name, "plan": options["plan"]}))
        else:
            self.stdout.write(f"{name} ({account.pk}) is on plan {options['plan']}.")
