"""Service accounts: the machines of an account."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from accounts import registry
from accounts.actors import Actor
from accounts.models import Account, ServiceAccount
from basekv.console import finding, searches
from basekv.console.buttons import Button, Data, Done
from basekv.console.labels import label
from basekv.console.page import Page
from basekv.console.pages.tokens import NewToken, issue

LISTED = 20


def disable(service_account: ServiceAccount, by: Actor, data: Data) -> Done:
    registry.disable(service_account, by=by)
    return Done(f"{service_account} is disabled: the API refuses its tokens.")


def enable(service_account: ServiceAccount, by: Actor, data: Data) -> Done:
    registry.enable(service_account, by=by)
    return Done(f"{service_account} is enabled.")


def what_is_disabled(service_account: ServiceAccount, data: Data) -> list[str]:
    number = service_account.tokens.filter(revoked_at=None).count()
    return [f"From the next request on, the API refuses its {number:,} tokens (401). It can be enabled again."]


SERVICE_ACCOUNT_BUTTONS = [
    Button(
        name="token",
        label="Issue token",
        icon="vpn_key",
        permission="accounts.issue_token",
        do=issue,
        form=NewToken,
        when=lambda found: found.disabled_at is None,
    ),
    Button(
        name="enable",
        label="Enable",
        icon="play_arrow",
        permission="accounts.disable_serviceaccount",
        do=enable,
        tells=lambda found, data: [f"The API takes the tokens of {found} again."],
        when=lambda found: found.disabled_at is not None,
    ),
    Button(
        name="disable",
        label="Disable",
        icon="block",
        permission="accounts.disable_serviceaccount",
        do=disable,
        tells=what_is_disabled,
        when=lambda found: found.disabled_at is None,
        danger=True,
    ),
]


@admin.register(ServiceAccount)
class ServiceAccountPage(Page):
    list_display = ["name", "account", "state", "created_at"]
    list_select_related = ["account"]
    list_filter = [("disabled_at", admin.EmptyFieldListFilter)]
    ordering = ["-created_at"]
    sortable_by = ["created_at"]
    narrows_by = frozenset({"account__id__exact"})
    search = finding.any_of(
        finding.by_name(), finding.by_id(), finding.through("account_id", Account, searches.of_account)
    )
    search_help_text = "The beginning of its name, of its account's name, or of an id."
    fields: list[str] = []
    overview = "console/service_account.html"
    buttons = SERVICE_ACCOUNT_BUTTONS

    @admin.display(description="state")
    def state(self, found: ServiceAccount) -> SafeString:
        return label("disabled") if found.disabled_at else label("active")

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {
            "service_account": obj,
            "tokens": obj.tokens.select_related("service_account")[:LISTED],
            "may_revoke": request.user.has_perm("accounts.revoke_token"),
            "now": timezone.now(),
        }
