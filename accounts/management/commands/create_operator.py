import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import actors, people
from accounts.errors import AccountError
from accounts.roles import Role


class Command(BaseCommand):
    help = "Let somebody sign in to the console, with a role. Their first password is shown once and kept nowhere."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--role", required=True, choices=list(Role))
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        role = Role(options["role"])
        try:
            person, password = people.create(options["email"], role, by=actors.command())
        except AccountError as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps({"email": person.email, "role": role, "password": password}))
        else:
            self.stdout.write(password)
            self.stderr.write("This is the only time that it is shown. They choose their own at the first sign-in.")
