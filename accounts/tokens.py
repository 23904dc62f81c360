"""Tokens: bkv_ + 8 public characters + 32 secret ones + 6 of a checksum.

The fixed beginning lets secret scanners find a leaked token, the checksum (CRC-32 in base 62) refuses a typo without
a query, and the public part names the token in lists and logs. The secret has 190 bits, so a plain SHA-256 is a safe
digest: there is nothing to guess.
"""

import hashlib
import re
import secrets
import string
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from accounts import audit, registry
from accounts.actors import Actor
from accounts.errors import NoSuchToken, ServiceAccountDisabled, UnknownScope
from accounts.models import Account, ServiceAccount, Token
from accounts.scopes import Scope

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
LEAD = "bkv_"
PUBLIC, SECRET, CHECKSUM = 8, 32, 6
FORM = re.compile(rf"{LEAD}[0-9A-Za-z]{{{PUBLIC + SECRET + CHECKSUM}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Presented:
    """A well-formed token as somebody sent it; whether it is one of ours, only the database knows."""

    prefix: str
    digest: bytes


@transaction.atomic
def issue(
    service_account: ServiceAccount, *, scopes: Iterable[str], expires_at: datetime | None = None, by: Actor
) -> tuple[Token, str]:
    """A new token and its text, which is nowhere kept: show it once. Raises UnknownScope, ServiceAccountDisabled."""
    refuse_disabled(service_account)
    wanted = list(dict.fromkeys(scopes))
    if unknown := [scope for scope in wanted if scope not in Scope.values]:
        raise UnknownScope(f"There is no scope {unknown[0]!r}. The scopes are: {', '.join(Scope.values)}.")
    body = LEAD + "".join(secrets.choice(ALPHABET) for _ in range(PUBLIC + SECRET))
    text = body + checksum(body)
    token = Token.objects.create(
        service_account=service_account,
        prefix=body[: len(LEAD) + PUBLIC],
        digest=digest(text),
        scopes=wanted,
        expires_at=expires_at,
    )
    audit.record(
        actor=by,
        action="token.issue",
        subject=token,
        account=service_account.account_id,
        after={"service_account": service_account.name, "scopes": wanted, "expires_at": expires_at},
    )
    return token, text


@transaction.atomic
def issue_for(
    account: Account, name: str, *, scopes: Iterable[str], expires_at: datetime | None = None, by: Actor
) -> tuple[Token, str]:
    """Of the account's service account of this name, which is made when it is not there and the token can be issued."""
    service_account = registry.service_account(account, name, by=by)
    return issue(service_account, scopes=scopes, expires_at=expires_at, by=by)


def refuse_disabled(service_account: ServiceAccount) -> None:
    """As it is now, and stays until the transaction ends, whatever was read before."""
    current = ServiceAccount.objects.select_for_update(no_key=True, of=("self",)).select_related("account")
    if current.get(pk=service_account.pk).disabled_at:
        raise ServiceAccountDisabled(str(service_account))


@transaction.atomic
def revoke(prefix: str, *, by: Actor) -> Token:
    """Refused from the next request on. Revoking twice keeps the first time. Raises NoSuchToken."""
    revoked = Token.objects.filter(prefix=prefix, revoked_at=None).update(revoked_at=timezone.now())
    try:
        token = Token.objects.select_related("service_account").get(prefix=prefix)
    except Token.DoesNotExist:
        raise NoSuchToken(f"No token has the prefix {prefix!r}. It is the first 12 characters: bkv_...") from None
    if revoked:
        account = token.service_account.account_id
        audit.record(
            actor=by, action="token.revoke", subject=token, account=account, after={"revoked_at": token.revoked_at}
        )
    return token


def parse(text: str) -> Presented | None:
    """What to look up, or None for what was never a token of ours."""
    if not FORM.fullmatch(text) or checksum(text[:-CHECKSUM]) != text[-CHECKSUM:]:
        return None
    return Presented(prefix=text[: len(LEAD) + PUBLIC], digest=digest(text))


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("ascii")).digest()


def checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode("ascii")), ""
    for _ in range(CHECKSUM):
        number, rest = divmod(number, len(ALPHABET))
        digits = ALPHABET[rest] + digits
    return digits
