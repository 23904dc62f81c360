from typing import Any

from django.core.management.base import BaseCommand

from accounts import actors
from billing import plans


class Command(BaseCommand):
    help = "Make the standard plans that are not there yet; those that are stay as they are."

    def handle(self, *args: Any, **options: Any) -> None:
        for plan in plans.seed(by=actors.command()):
            self.stdout.write(f"{plan.slug}: {plan.name}")
