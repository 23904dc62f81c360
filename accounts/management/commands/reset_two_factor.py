from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import actors, people, two_factor
from accounts.errors import AccountError


class Command(BaseCommand):
    help = "Take away the second factor of somebody who lost it. Their sessions end; the next sign-in asks for no code."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            person = people.find(options["email"])
        except AccountError as error:
            raise CommandError(str(error)) from None
        had = two_factor.reset(person, by=actors.command())
        self.stdout.write(f"{person} has no second factor{' any more' if had else ', and had none'}; signed out.")
