"""What staff can do on a page: declared as data, each button calls one verb.

A button that needs asking first has a page of its own, which says what will happen; only its POST does anything. The
right to press it is asked there again, whatever the page showed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from accounts.actors import Actor
from accounts.errors import AccountError
from billing.errors import BillingError
from instances.errors import InstanceError
from instances.removal import NodeInUse

# What a verb may answer instead of doing it; the message is for whoever pressed the button.
REFUSALS = (AccountError, BillingError, InstanceError, NodeInUse)


@dataclass(frozen=True, slots=True)
class Done:
    """`text` says what was done; `goto` is what to look at next, by default the same page."""

    text: str
    goto: Model | None = None
    gone: bool = False
    """The object is no more: back to the list."""
    then: str = ""
    """The button that is pressed next, in the same answer, for whoever may press it."""


@dataclass(frozen=True, slots=True)
class Secret:
    """In this one answer and nowhere else: no redirect, no message, no session has it."""

    title: str
    text: str = field(repr=False)
    advice: str


class Asking(forms.Form):
    """What has to be known before a button is pressed. `subject` is what it is pressed on, None on a list."""

    def __init__(self, *args: Any, subject: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.subject = subject
        self.prepare()

    def prepare(self) -> None:
        """For choices that depend on the subject."""


Data = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Button:
    name: str
    label: str
    icon: str
    permission: str
    do: Callable[[Any, Actor, Data], Done | Secret]
    tells: Callable[[Any, Data], Sequence[str]] | None = None
    """What will happen, in sentences."""
    form: type[Asking] | None = None
    knowing: Callable[[QuerySet[Any]], QuerySet[Any]] = lambda rows: rows
    """The rows with what it tells of them, read for many at once."""
    previews: bool = False
    """What it tells depends on what was typed: it is shown before the last word."""
    when: Callable[[Any], bool] = lambda _: True
    danger: bool = False
    bulk: bool = False

    @property
    def asks(self) -> bool:
        return self.tells is not None or self.form is not None

    def told(self, subject: Any, data: Data) -> list[str]:
        return list(self.tells(subject, data)) if self.tells else []


def allowed(request: HttpRequest, buttons: Sequence[Button]) -> Iterator[Button]:
    return (button for button in buttons if request.user.has_perm(button.permission))
