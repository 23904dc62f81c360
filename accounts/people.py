"""People who sign in to the console. Only superusers change them, here and in the console."""

import secrets

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import F

from accounts import audit
from accounts.actors import Actor
from accounts.errors import BadEmail, NameTaken, NoSuchPerson
from accounts.models import User
from accounts.roles import Role

PASSWORD_BYTES = 18


def find(email: str) -> User:
    """Raises NoSuchPerson."""
    try:
        return User.objects.get_by_natural_key(email)
    except User.DoesNotExist:
        raise NoSuchPerson(f"Nobody signs in as {email!r}; `create_operator` makes somebody.") from None


def create(email: str, role: Role, *, by: Actor) -> tuple[User, str]:
    """Somebody with this role, and a first password, nowhere kept: show it once. They choose their own when they first
    sign in. Raises BadEmail, NameTaken."""
    try:
        validate_email(email)
    except ValidationError:
        raise BadEmail(f"{email!r} is no email address.") from None
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    try:
        with transaction.atomic():
            person = User.objects.create_user(email, password, is_staff=True, password_is_first=True)
            person.groups.set([Group.objects.get(name=role)])
            audit.record(actor=by, action="user.create", subject=person, after={"is_staff": True, "roles": [role]})
    except IntegrityError:
        raise NameTaken(f"Somebody signs in as {email} already.") from None
    return person, password


@transaction.atomic
def record_new_password(person: User, *, by: Actor) -> None:
    """One that somebody else has chosen is to be changed at the next sign-in."""
    person.password_is_first = by.user_id != person.pk
    person.save(update_fields=["password_is_first"])
    audit.record(actor=by, action="user.change_password", subject=person, after={"password": audit.CHANGED})


def end_sessions(person: User) -> None:
    """Everywhere, from the next request on."""
    User.objects.filter(pk=person.pk).update(session_generation=F("session_generation") + 1)
    person.refresh_from_db(fields=["session_generation"])
