from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import actors, registry
from accounts.errors import AccountError


class Command(BaseCommand):
    help = "Let a suspended account's tokens in again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account", help="the account's name or id")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            account = registry.find(options["account"])
        except AccountError as error:
            raise CommandError(str(error)) from None
        registry.resume(account, by=actors.command())
        self.stdout.write(f"{account} is not suspended.")
