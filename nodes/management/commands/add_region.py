from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_slug

from accounts import actors
from nodes import regions


class Command(BaseCommand):
    help = "Add a region, a place that customers can choose; or rename one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="as the API names it, for example eu-west")
        parser.add_argument("--name", required=True, help="as people name it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            validate_slug(options["slug"])
        except ValidationError as error:
            raise CommandError(f"{options['slug']!r}: {error.messages[0]}") from None
        region, added = regions.add(options["slug"], options["name"], by=actors.command())
        self.stdout.write(f"{region.slug}: {region.name}{'' if added else ' (was there)'}")
