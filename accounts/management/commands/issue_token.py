import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts import actors, registry, tokens
from accounts.errors import AccountError
from accounts.scopes import Scope


class Command(BaseCommand):
    help = "Issue a token of an account's service account. Its text is shown once and kept nowhere."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account", help="the account's name or id")
        parser.add_argument("--service-account", required=True, metavar="NAME", help="made when it is not there")
        parser.add_argument("--scope", action="append", required=True, help=f"one of {', '.join(Scope.values)}")
        parser.add_argument("--expires-in-days", type=int, metavar="N", help="default: never")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["expires_in_days"]
        if days is not None and not 0 < days <= 36_500:
            raise CommandError("--expires-in-days takes a number of days from 1 to 36500.")
        try:
            token, text = tokens.issue_for(
                registry.find(options["account"]),
                options["service_account"],
                scopes=options["scope"],
                expires_at=timezone.now() + timedelta(days=days) if days else None,
                by=actors.command(),
            )
        except AccountError as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(
                json.dumps(
                    {
                        "token": text,
                        "id": str(token.pk),
                        "prefix": token.prefix,
                        "account_id": str(token.service_account.account_id),
                        "service_account_id": str(token.service_account_id),
                        "scopes": token.scopes,
                        "expires_at": token.expires_at.isoformat() if token.expires_at else None,
                    }
                )
            )
        else:
            self.stdout.write(text)
            self.stderr.write("This is the only time that it is shown.")
