"""The console's door: a password, then a code where the person has a second factor, then a session."""

from time import time

from django.conf import settings
from django.contrib.auth import authenticate, login
from django.db import transaction
from django.http import HttpRequest

from accounts import actors, audit, throttle, two_factor
from accounts.errors import SignInRefused, WrongCode
from accounts.models import User
from accounts.sessions import SECOND_FACTOR, SEEN_AT, SIGNED_IN_AT

# In a session that belongs to nobody yet: whose password was right, and when.
WAITING = "waits_for_code"
DESTINATION = "goes_to"
PATIENCE = 300  # seconds
REFUSED = "This email and password do not open the console. Mind upper and lower case in the password."


def with_password(request: HttpRequest, email: str, password: str) -> User:
    """Raises SignInRefused, which says the same whatever was wrong."""
    who = actors.anybody(request, label=label_of(email))
    with throttle.turn(who):
        found = authenticate(request, username=email, password=password)
        person = found if found and found.is_staff else None
        if person is None:
            known = User.objects.filter(email=who.label).first()
            audit.record(actor=who, action=throttle.FAILED, subject=known or User(email=who.label))
    if person is None:
        raise SignInRefused(REFUSED)
    return person


def with_own_password(request: HttpRequest, person: User, password: str) -> None:
    """Somebody who is signed in shows again who they are. Raises SignInRefused."""
    who = actors.user(request)
    with throttle.turn(who):
        right = person.check_password(password)
        if not right:
            audit.record(actor=who, action=throttle.FAILED, subject=person)
    if not right:
        raise SignInRefused("That is not your password.")


def with_code(request: HttpRequest, person: User, code: str) -> None:
    """Raises WrongCode, TooManyCodes, SignInRefused."""
    who = actors.anybody(request, label=person.email)
    right = True
    with throttle.turn(who):
        try:
            two_factor.check(person, code, by=who)
        except WrongCode:
            right = False
    if not right:
        raise WrongCode


def wait_for_code(request: HttpRequest, person: User) -> None:
    request.session.flush()
    request.session[WAITING] = [person.pk, person.get_session_auth_hash(), time()]


def waiting(request: HttpRequest) -> User | None:
    """Who showed the right password a moment ago, if it still is the right one."""
    pk, session_hash, since = request.session.get(WAITING, (None, "", 0.0))
    if time() - since > PATIENCE:
        return None
    person = User.objects.filter(pk=pk, is_active=True, is_staff=True).first()
    return person if person and person.get_session_auth_hash() == session_hash else None


def complete(request: HttpRequest, person: User, *, second_factor: bool) -> None:
    """A session with a new key, whatever there was before."""
    with transaction.atomic():
        request.session.flush()
        login(request, person, backend=settings.AUTHENTICATION_BACKENDS[0])
        request.session[SIGNED_IN_AT] = request.session[SEEN_AT] = time()
        request.session[SECOND_FACTOR] = second_factor
        audit.record(actor=actors.user(request), action=throttle.SIGNED_IN, subject=person)


def record_sign_out(request: HttpRequest, user: User | None, **_: object) -> None:
    """Django's signal user_logged_out."""
    if user is not None:
        audit.record(actor=actors.user(request), action="user.sign_out", subject=user)


def label_of(email: str) -> str:
    """As `User.email` is kept. Some type a password where the email belongs: that is not written down."""
    return email.strip().lower() if "@" in email else "(no email address)"
