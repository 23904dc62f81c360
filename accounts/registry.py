"""Accounts and their service accounts: made once, found by name or id."""

import uuid

from django.core.exceptions import ValidationError

from accounts.errors import NoSuchAccount
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


def service_account(account: Account, name: str) -> ServiceAccount:
    """The account's service account of this name, made when it is not there."""
    return ServiceAccount.objects.get_or_create(account=account, name=name)[0]
