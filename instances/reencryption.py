"""Every stored secret, encrypted again with the first of BASEKV_ENCRYPTION_KEYS, so that the others can be retired.

It may run beside everything else, be stopped, and be started again: a row is replaced only where it still is what was
read, and one that the first key decrypts already is passed over.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cryptography.fernet import InvalidToken
from django.conf import settings
from django.db.models import Model

from accounts import encryption
from accounts.models import SecondFactor
from instances.models import Instance

# Whatever is encrypted with accounts/encryption.py. A model with a new such field needs a line here.
FIELDS: list[tuple[type[Model], str]] = [
    (Instance, "password_encrypted"),
    (Instance, "previous_password_encrypted"),
    (SecondFactor, "secret_encrypted"),
]
BATCH = 500
# A rotation moves a password to the other field behind our back; the next pass finds it there.
PASSES = 5


class State(StrEnum):
    CURRENT = "current"  # the first key decrypts it
    OLD = "old"  # another one does
    UNREADABLE = "unreadable"


@dataclass
class Pass:
    """One look at every secret: how many were in which state when they were read."""

    states: Counter[State] = field(default_factory=Counter)
    replaced: int = 0
    unreadable: list[dict[str, str]] = field(default_factory=list)


def run(tell: Callable[[Pass], None]) -> tuple[int, Pass]:
    """Pass after pass, until one finds nothing to replace: how many were replaced in all, and the last pass, which is
    the truth. `tell` is called after every batch."""
    replaced = 0
    for _ in range(PASSES):
        seen = Pass()
        for model, name in FIELDS:
            for rows in batches(model, name):
                replace_old(model, name, rows, seen)
                tell(seen)
        replaced += seen.replaced
        if not seen.states[State.OLD]:
            break
    return replaced, seen


def batches(model: type[Model], name: str) -> Iterator[list[tuple[Any, str]]]:
    filled = model._default_manager.exclude(**{name: ""}).order_by("pk").values_list("pk", name)
    rows = list(filled[:BATCH])
    while rows:
        yield rows
        rows = list(filled.filter(pk__gt=rows[-1][0])[:BATCH])


def replace_old(model: type[Model], name: str, rows: list[tuple[Any, str]], seen: Pass) -> None:
    """Row by row, and not in one transaction: it holds no lock that anybody else would wait for."""
    for pk, stored in rows:
        state = state_of(stored)
        seen.states[state] += 1
        if state is State.OLD:
            unchanged = model._default_manager.filter(**{"pk": pk, name: stored})
            seen.replaced += unchanged.update(**{name: encryption.encrypt(encryption.decrypt(stored))})
        elif state is State.UNREADABLE:
            seen.unreadable.append({"model": model._meta.label, "id": str(pk), "field": name})


def state_of(stored: str) -> State:
    keys = tuple(settings.BASEKV_ENCRYPTION_KEYS)
    for state, some in ((State.CURRENT, keys[:1]), (State.OLD, keys)):
        try:
            encryption.fernet(some).decrypt(stored.encode())
        except InvalidToken:
            continue
        return state
    return State.UNREADABLE
