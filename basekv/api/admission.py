"""The doors of admission: who (401), may it (403), count it (429).

The authentication class asks billing.admission once; permission and throttle read its outcome. What an operation
needs stands in its view's `rules`.
"""

from dataclasses import dataclass
from typing import Any, cast

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from accounts import tokens
from accounts.scopes import Scope
from basekv.api.errors import ApiError, InvalidToken
from billing.admission import Caller, Outcome, admit

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Rule:
    """What one operation needs: a scope, and whether it counts against the day's quota."""

    scope: Scope | None = None
    counted: bool = True


# A method that a path does not take needs nothing and counts as nothing.
NO_OPERATION = Rule(counted=False)


def rule_of(view: Any) -> Rule:
    rule: Rule = view.rules.get(view.action, NO_OPERATION)
    return rule


class BearerAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[None, Caller]:
        presented = tokens.parse(bearer(request))
        if presented is None:
            raise InvalidToken
        rule = rule_of(request.parser_context["view"])
        caller = admit(presented, scope=rule.scope, counted=rule.counted)
        if caller is None:
            raise InvalidToken
        if caller.outcome is Outcome.EXPIRED:
            raise InvalidToken("This token has expired. Issue a new one.")
        if caller.outcome is Outcome.REVOKED:
            raise InvalidToken("This token has been revoked. Issue a new one.")
        if caller.outcome is Outcome.DISABLED:
            raise InvalidToken("This token's service account is disabled.")
        return None, caller


def bearer(request: Request) -> str:
    scheme, _, token = get_authorization_header(request).decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


class MayCall(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        outcome = cast(Caller, request.auth).outcome
        if outcome is Outcome.SUSPENDED:
            raise ApiError(403, "account_suspended", "The account is suspended. Contact support.")
        if outcome is Outcome.SCOPE:
            scope = str(rule_of(view).scope)
            message = f"The token lacks the scope {scope}. Issue one that has it."
            raise ApiError(403, "missing_scope", message, scope=scope)
        if outcome is Outcome.UNSUBSCRIBED:
            raise ApiError(403, "no_active_subscription", "The account has no active subscription. Choose a plan.")
        return True


class DailyQuota(BaseThrottle):
    """Exact: the count was taken in the statement that found the token, or was not taken at all."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        caller = cast(Caller, request.auth)
        if caller.outcome is not Outcome.QUOTA:
            return True
        raise ApiError(
            429,
            "daily_quota_exceeded",
            f"The day's quota of {caller.max_requests_per_day} requests is used up. "
            "It starts anew at 00:00 UTC; a larger plan has more.",
            headers={"Retry-After": str(caller.seconds_left)},
            usage=usage(caller),
        )


def usage(caller: Caller) -> dict[str, Any]:
    return {
        "current_count": caller.used,
        "limit_count": caller.max_requests_per_day,
        "usage_date": caller.usage_day,
    }


def announce(response: Response, caller: Caller) -> None:
    """The quota in the form of the IETF's draft-ietf-httpapi-ratelimit-headers. No limit: nothing to announce."""
    limit = caller.max_requests_per_day
    if limit is not None:
        response["RateLimit-Policy"] = f'"daily";q={limit};w={DAY}'
        response["RateLimit"] = f'"daily";r={max(limit - caller.used, 0)};t={caller.seconds_left}'
