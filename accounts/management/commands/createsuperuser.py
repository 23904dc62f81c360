from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.db.models.signals import post_save

from accounts import actors, audit
from accounts.models import User


class Command(createsuperuser.Command):
    """Django's, which asks for what it needs; here the audit trail has it, in the same transaction."""

    def handle(self, *args: Any, **options: Any) -> None:
        post_save.connect(self.record, sender=User)
        try:
            super().handle(*args, **options)
        finally:
            post_save.disconnect(self.record, sender=User)

    def record(self, instance: User, **_: Any) -> None:
        rights = {"is_staff": instance.is_staff, "is_superuser": instance.is_superuser}
        audit.record(actor=actors.command(), action="user.create", subject=instance, after=rights)
