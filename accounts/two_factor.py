"""The second factor: six digits of an authenticator app (RFC 6238), or one of ten recovery codes."""

import base64
import hashlib
import re
import secrets
from datetime import timedelta
from math import ceil
from time import time

from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts import audit, encryption, people
from accounts.actors import Actor
from accounts.errors import AlreadyOn, TooManyCodes, WrongCode
from accounts.models import RecoveryCode, SecondFactor, User

# What every authenticator app takes for granted.
STEP, DIGITS, SECRET_BYTES = 30, 6, 20
# How far a clock may be off, in steps.
DRIFT = 1
FREE_TRIES = 5
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(minutes=15)
RECOVERY_CODES, RECOVERY_BYTES = 10, 10
RECOVERY_FORM = re.compile(r"[a-z2-7]{16}")


def is_on(person: User) -> bool:
    return SecondFactor.objects.filter(user=person, confirmed_at__isnull=False).exists()


@transaction.atomic
def begin(person: User) -> None:
    """A new secret, which is in force only after `confirm`. Raises AlreadyOn."""
    if is_on(person):
        raise AlreadyOn
    SecondFactor.objects.filter(user=person, confirmed_at=None).delete()
    made = base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()
    SecondFactor.objects.create(user=person, secret_encrypted=encryption.encrypt(made))


def address(factor: SecondFactor) -> str:
    """What an authenticator app reads from the QR code. It holds the secret."""
    return TOTP(key(factor), DIGITS, SHA1(), STEP).get_provisioning_uri(factor.user.email, "BaseKV")  # noqa: S303


def key(factor: SecondFactor) -> bytes:
    return base64.b32decode(secret(factor))


def secret(factor: SecondFactor) -> str:
    """For those who type it into their app."""
    return encryption.decrypt(factor.secret_encrypted)


def confirm(person: User, code: str, *, by: Actor) -> list[str]:
    """In force from now on; the person's sessions have ended. Returns the recovery codes, which are nowhere kept.
    Raises WrongCode, TooManyCodes, AlreadyOn."""
    if is_on(person):
        raise AlreadyOn
    check(person, code, by=by)
    with transaction.atomic():
        SecondFactor.objects.filter(user=person).update(confirmed_at=timezone.now())
        people.end_sessions(person)
        audit.record(actor=by, action="user.enable_two_factor", subject=person)
        return renew(person)


def renew_recovery_codes(person: User, code: str, *, by: Actor) -> list[str]:
    """Ten new ones, the old ones are worth nothing. Raises WrongCode, TooManyCodes."""
    check(person, code, by=by)
    with transaction.atomic():
        audit.record(actor=by, action="user.renew_recovery_codes", subject=person)
        return renew(person)


def renew(person: User) -> list[str]:
    codes = [base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().lower() for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.filter(user=person).delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user=person, digest=digest(code)) for code in codes)
    return ["-".join(code[start : start + 4] for start in range(0, len(code), 4)) for code in codes]


def digest(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()


def disable(person: User, code: str, *, by: Actor) -> None:
    """By the person, who shows that it is in their hands. Raises WrongCode, TooManyCodes."""
    check(person, code, by=by)
    forget(person, "user.disable_two_factor", by=by)


def reset(person: User, *, by: Actor) -> bool:
    """By an operator, for somebody who lost it. False: there was none."""
    return forget(person, "user.reset_two_factor", by=by)


@transaction.atomic
def forget(person: User, action: str, *, by: Actor) -> bool:
    gone, _ = SecondFactor.objects.filter(user=person).delete()
    RecoveryCode.objects.filter(user=person).delete()
    people.end_sessions(person)
    audit.record(actor=by, action=action, subject=person)
    return bool(gone)


def check(person: User, code: str, *, by: Actor) -> None:
    """Takes the code, which is worth nothing from then on. Raises WrongCode, TooManyCodes."""
    text = re.sub(r"[\s-]", "", code).lower()
    take = take_recovery_code if RECOVERY_FORM.fullmatch(text) else take_digits
    with transaction.atomic():
        right = take(person, text)
        if not right:
            audit.record(actor=by, action="user.code_refused", subject=person)
    if not right:
        raise WrongCode


def take_recovery_code(person: User, text: str) -> bool:
    """Of two that show the same one at once, one gets in."""
    taken, _ = RecoveryCode.objects.filter(user=person, digest=digest(text)).delete()
    return bool(taken)


def take_digits(person: User, text: str) -> bool:
    """Raises TooManyCodes."""
    factor = SecondFactor.objects.select_for_update().filter(user=person).first()
    if factor is None:
        return False
    refuse_haste(factor)
    step = matching_step(factor, text)
    this = SecondFactor.objects.filter(pk=factor.pk)
    if step is None:
        this.update(failures=F("failures") + 1, failed_at=timezone.now())
    else:
        this.update(failures=0, failed_at=None, last_step=step)
    return step is not None


def refuse_haste(factor: SecondFactor) -> None:
    """Whoever has the password cannot try all codes, and cannot keep the person out for longer than LONGEST_WAIT; with
    a recovery code, not at all."""
    if factor.failed_at is None or factor.failures < FREE_TRIES:
        return
    wait = min(FIRST_WAIT * 2 ** min(factor.failures - FREE_TRIES, 16), LONGEST_WAIT)
    left = (factor.failed_at + wait - timezone.now()).total_seconds()
    if left > 0:
        raise TooManyCodes(ceil(left))


def matching_step(factor: SecondFactor, text: str) -> int | None:
    """The time step that the code is of, if it is none that was taken before."""
    hotp, now = HOTP(key(factor), DIGITS, SHA1()), int(time() // STEP)  # noqa: S303
    for step in range(max(now - DRIFT, factor.last_step + 1), now + DRIFT + 1):
        if bytes_eq(hotp.generate(step), text.encode()):
            return step
    return None
