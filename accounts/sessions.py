"""Sessions of the console: they end after a while without use, after a day's work, and say whether there was a code."""

from collections.abc import Callable
from time import time

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

# Keys in the session; times in seconds since 1970.
SIGNED_IN_AT, SEEN_AT, SECOND_FACTOR = "signed_in_at", "seen_at", "second_factor"

LONGEST_IDLE, LONGEST = 2 * 3600, 12 * 3600  # seconds
# A session is written at most this often, not at every look.
SEEN_EVERY = 60

Handler = Callable[[HttpRequest], HttpResponse]


class SessionLimits:
    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.SESSION_COOKIE_NAME in request.COOKIES and not request.path.startswith("/api/"):
            end_or_go_on(request)
        return self.get_response(request)


def end_or_go_on(request: HttpRequest) -> None:
    session = request.session
    if SESSION_KEY not in session:
        return
    now = time()
    seen = session.get(SEEN_AT, 0.0)
    if now - session.setdefault(SIGNED_IN_AT, now) > LONGEST or (seen and now - seen > LONGEST_IDLE):
        session.flush()
    elif now - seen > SEEN_EVERY:
        session[SEEN_AT] = now


class FirstThingsFirst:
    """Who has something to do before anything else reaches the page where it is done, and no other of the console."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(reverse("admin:index")) and request.path not in always_open():
            page = first_page(request)
            if page and request.path != reverse(page):
                return redirect(page)
        return self.get_response(request)


def always_open() -> set[str]:
    return {reverse(name) for name in ("sign_in", "sign_in_code", "admin:logout")}


def first_page(request: HttpRequest) -> str:
    """A password that somebody else has chosen is changed; with BASEKV_REQUIRE_2FA, a second factor is set up."""
    user = request.user
    if not user.is_authenticated:
        return ""
    if user.password_is_first:
        return "admin:password_change"
    if settings.BASEKV_REQUIRE_2FA and not request.session.get(SECOND_FACTOR):
        return "second_factor"
    return ""
