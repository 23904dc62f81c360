"""Who does something: every verb that changes anything is told, and writes it down (accounts/audit.py)."""

import os
import pwd
import uuid
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.db.models import TextChoices
from django.http import HttpRequest

from accounts import origins
from accounts.origins import HasMeta


class ActorKind(TextChoices):
    USER = "user", "a person in the console"
    TOKEN = "token", "a token of the API"
    COMMAND = "command", "a command"
    SYSTEM = "system", "BaseKV itself"


@dataclass(frozen=True, slots=True)
class Actor:
    """`label` is what people know it by: an email, a token's prefix, the operating system's user."""

    kind: ActorKind
    label: str
    user_id: int | None = None
    token_id: uuid.UUID | None = None
    address: str | None = None
    request_id: str = ""

    def packed(self) -> dict[str, Any]:
        """For a message to a worker, which acts in this name."""
        return {**asdict(self), "token_id": self.token_id and str(self.token_id)}

    @classmethod
    def unpacked(cls, message: dict[str, Any]) -> "Actor":
        token_id = message["token_id"]
        return cls(**{**message, "kind": ActorKind(message["kind"]), "token_id": token_id and uuid.UUID(token_id)})


# What BaseKV does by itself, because of what it found.
SYSTEM = Actor(ActorKind.SYSTEM, "BaseKV")


def user(request: HttpRequest) -> Actor:
    """Whoever is signed in to the console."""
    person = request.user
    assert person.is_authenticated, "the console's doors are behind its sign-in"
    return replace(anybody(request, label=person.email), user_id=person.pk)


def token(request: HasMeta, *, token_id: uuid.UUID, prefix: str) -> Actor:
    return replace(anybody(request, label=prefix), kind=ActorKind.TOKEN, token_id=token_id)


def anybody(request: HasMeta, *, label: str) -> Actor:
    """Whoever tries to sign in, by the name that they give."""
    address, request_id = origins.address(request), origins.request_id(request)
    return Actor(ActorKind.USER, label, address=address, request_id=request_id)


def command() -> Actor:
    """Whoever runs manage.py. Who may do that has the database's password, so sudo's word is good enough."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    behind = os.environ.get("SUDO_USER")
    return Actor(ActorKind.COMMAND, f"{behind} as {name}" if behind else name)
