"""Tokens: issued from their service account's page or their account's, revoked here."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from accounts import tokens
from accounts.actors import Actor
from accounts.models import Account, ServiceAccount, Token
from accounts.scopes import Scope
from basekv.console import fields, finding, searches
from basekv.console.buttons import Asking, Button, Data, Done, Secret
from basekv.console.labels import label
from basekv.console.page import Page, link


class NewToken(Asking):
    scopes = fields.some_of("It may", Scope.choices, initial=Scope.values)
    days = fields.number(
        "Expires in days", required=False, min_value=1, max_value=3650, help_text="Empty: it does not expire."
    )


def issue(service_account: ServiceAccount, by: Actor, data: Data) -> Secret:
    return shown(*tokens.issue(service_account, scopes=data["scopes"], expires_at=expiry(data), by=by))


def expiry(data: Data) -> datetime | None:
    return timezone.now() + timedelta(days=data["days"]) if data["days"] else None


def shown(token: Token, text: str) -> Secret:
    return Secret(
        f"A new token of {token.service_account}",
        text,
        f"Copy it now: it is shown this once, and kept nowhere. Lists show it as {token.prefix}.",
    )


def revoke(token: Token, by: Actor, data: Data) -> Done:
    tokens.revoke(token.prefix, by=by)
    return Done(f"{token.prefix} is revoked: the API refuses it from now on.")


def what_is_revoked(token: Token, data: Data) -> list[str]:
    used = (
        f"It was last used at {token.last_used_at:%Y-%m-%d %H:%M} UTC." if token.last_used_at else "It was never used."
    )
    return [f"From the next request on, the API refuses {token.prefix} of {token.service_account}, for good.", used]


TOKEN_BUTTONS = [
    Button(
        name="revoke",
        label="Revoke",
        icon="key_off",
        permission="accounts.revoke_token",
        do=revoke,
        tells=what_is_revoked,
        when=lambda token: token.revoked_at is None,
        danger=True,
        bulk=True,
    )
]


@admin.register(Token)
class TokenPage(Page):
    """Only the beginning of a token is kept: who has lost one is issued another."""

    list_display = ["prefix", "state", "whose", "scope_list", "expires_at", "last_used_at", "created_at"]
    list_select_related = ["service_account__account"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter)]
    ordering = ["-created_at"]
    sortable_by = ["created_at"]
    narrows_by = frozenset({"service_account__account__id__exact", "service_account__id__exact"})
    search = finding.any_of(
        finding.beginning("prefix"),
        finding.through("service_account__account_id", Account, searches.of_account),
        finding.through("service_account_id", ServiceAccount, searches.of_service_account),
    )
    search_help_text = "The beginning of a token (bkv_…), or of the name of its service account or account."
    fields: list[str] = []
    overview = "console/token.html"
    buttons = TOKEN_BUTTONS

    @admin.display(description="state")
    def state(self, token: Token) -> SafeString:
        return label(state_of(token))

    @admin.display(description="service account")
    def whose(self, token: Token) -> SafeString:
        return link(token.service_account)

    @admin.display(description="scopes")
    def scope_list(self, token: Token) -> str:
        return ", ".join(token.scopes)

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {
            "token": obj,
            "state": state_of(obj),
            "scopes": [Scope(scope).label if scope in Scope.values else scope for scope in obj.scopes],
        }


def state_of(token: Token) -> str:
    if token.revoked_at:
        return "revoked"
    return "expired" if token.expires_at and token.expires_at <= timezone.now() else "active"
