"""Accounts and their service accounts: made once, found by name or id, stopped and let on again."""

import uuid
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.actors import Actor
from accounts.errors import NameTaken, NoSuchAccount
from accounts.models import Account, ServiceAccount


def find(name_or_id: str) -> Account:
    """Raises NoSuchAccount."""
    try:
        return Account.objects.get(pk=uuid.UUID(name_or_id))
    except (ValueError, ValidationError, Account.DoesNotExist):
        pass
    try:
        return Account.objects.get(name=name_or_id)
    except Account.DoesNotExist:
        raise NoSuchAccount(f"No account is named {name_or_id!r}; `create_account` makes one.") from None


def suspend(account: Account, *, by: Actor) -> bool:
    """The API refuses its tokens (403) from the next request on; its databases go on. False: it was suspended."""
    return set_suspended(account, timezone.now(), action="account.suspend", by=by)


def resume(account: Account, *, by: Actor) -> bool:
    """False: it was not suspended."""
    return set_suspended(account, None, action="account.resume", by=by)


@transaction.atomic
def set_suspended(account: Account, at: datetime | None, *, action: str, by: Actor) -> bool:
    changed = Account.objects.filter(pk=account.pk, suspended_at__isnull=at is not None).update(suspended_at=at)
    before = account.suspended_at
    account.refresh_from_db(fields=["suspended_at"])
    if changed:
        audit.record(
            actor=by,
            action=action,
            subject=account,
            account=account,
            before={"suspended_at": before},
            after={"suspended_at": at},
        )
    return bool(changed)


def service_account(account: Account, name: str, *, by: Actor) -> ServiceAccount:
    """The account's service account of this name, made when it is not there."""
    return found_or_made(account, name, by=by)[0]


def add_service_account(account: Account, name: str, *, by: Actor) -> ServiceAccount:
    """A new one. Raises NameTaken."""
    found, made = found_or_made(account, name, by=by)
    if not made:
        raise NameTaken(f"{account} has a service account {name!r} already.")
    return found


@transaction.atomic
def found_or_made(account: Account, name: str, *, by: Actor) -> tuple[ServiceAccount, bool]:
    found, made = ServiceAccount.objects.get_or_create(account=account, name=name)
    if made:
        audit.record(actor=by, action="service_account.create", subject=found, account=account, after={"name": name})
    return found, made


def disable(found: ServiceAccount, *, by: Actor) -> bool:
    """The API refuses its tokens (401) from the next request on. False: it was disabled."""
    return set_disabled(found, timezone.now(), action="service_account.disable", by=by)


def enable(found: ServiceAccount, *, by: Actor) -> bool:
    """False: it was not disabled."""
    return set_disabled(found, None, action="service_account.enable", by=by)


@transaction.atomic
def set_disabled(found: ServiceAccount, at: datetime | None, *, action: str, by: Actor) -> bool:
    changed = ServiceAccount.objects.filter(pk=found.pk, disabled_at__isnull=at is not None).update(disabled_at=at)
    before = found.disabled_at
    found.refresh_from_db(fields=["disabled_at"])
    if changed:
        audit.record(
            actor=by,
            action=action,
            subject=found,
            account=found.account_id,
            before={"disabled_at": before},
            after={"disabled_at": at},
        )
    return bool(changed)
