from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import actors, tokens
from accounts.errors import AccountError


class Command(BaseCommand):
    help = "Revoke a token: the API refuses it from the next request on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("prefix", help="the token's first 12 characters: bkv_...")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            token = tokens.revoke(options["prefix"], by=actors.command())
        except AccountError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{token.prefix} is revoked since {token.revoked_at:%Y-%m-%d %H:%M:%S} UTC.")
