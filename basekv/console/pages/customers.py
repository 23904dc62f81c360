"""The customers: accounts, their service accounts and tokens."""

from datetime import timedelta
from typing import Any, cast

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts import registry, tokens
from accounts.actors import Actor
from accounts.models import Account, AuditEntry, ServiceAccount, Token
from accounts.scopes import Scope
from basekv.console import charts, fields, finding
from basekv.console.buttons import Asking, Button, Data, Done, Secret
from basekv.console.labels import label
from basekv.console.page import Page, address
from billing import plans
from billing.models import Plan, Subscription, Usage
from instances import lifecycle, plan_change

DAYS = 30
LISTED = 20

of_account = finding.any_of(finding.by_name(), finding.by_id())

# --- What can be asked for


class NewAccount(Asking):
    name = fields.text("Name", max_length=100, help_text="As the customer is known; no other account has it.")
    plan = fields.one_of("Plan", queryset=Plan.objects.all(), empty_label=None)


class WhichPlan(Asking):
    plan = fields.one_of("New plan", queryset=Plan.objects.none(), empty_label=None)

    def prepare(self) -> None:
        active = Subscription.objects.filter(account=self.subject, ended_at=None).values("plan")
        self.fields["plan"].queryset = Plan.objects.exclude(pk__in=active)  # type: ignore[attr-defined]


class NewServiceAccount(Asking):
    name = fields.text("Name", max_length=100, help_text="What will use it: a script, an agent, a service.")


class NewToken(Asking):
    scopes = fields.some_of("It may", Scope.choices, initial=Scope.values)
    days = fields.number(
        "Expires in days", required=False, min_value=1, max_value=3650, help_text="Empty: it does not expire."
    )


class NewTokenOfAccount(NewToken):
    service_account = fields.text(
        "Service account", max_length=100, initial="agent", help_text="It is made if there is none of this name."
    )
    field_order = ["service_account", "scopes", "days"]


def open_account(_: None, by: Actor, data: Data) -> Done:
    account = plans.open_account(data["name"], data["plan"], by=by)
    return Done(f"{account} is open, on {data['plan']}. Next: issue a token for it.", goto=account)


def suspend(account: Account, by: Actor, data: Data) -> Done:
    registry.suspend(account, by=by)
    return Done(f"{account} is suspended.")


def resume(account: Account, by: Actor, data: Data) -> Done:
    registry.resume(account, by=by)
    return Done(f"{account} is let in again.")


def change_plan(account: Account, by: Actor, data: Data) -> Done:
    plans.subscribe(account, data["plan"], by=by)
    return Done(f"{account} is on {data['plan']}.")


def end_subscription(account: Account, by: Actor, data: Data) -> Done:
    plans.unsubscribe(account, by=by)
    return Done(f"{account} has no subscription any more.")


def add_service_account(account: Account, by: Actor, data: Data) -> Done:
    made = registry.service_account(account, data["name"], by=by)
    return Done(f"{made.name} is a service account of {account}.", goto=made)


def issue_for_account(account: Account, by: Actor, data: Data) -> Secret:
    return issue(registry.service_account(account, data["service_account"], by=by), by, data)


def issue(service_account: ServiceAccount, by: Actor, data: Data) -> Secret:
    expires_at = timezone.now() + timedelta(days=data["days"]) if data["days"] else None
    token, text = tokens.issue(service_account, scopes=data["scopes"], expires_at=expires_at, by=by)
    return Secret(
        f"A new token of {service_account}",
        text,
        f"Copy it now: it is shown this once, and kept nowhere. Lists show it as {token.prefix}.",
    )


def disable(service_account: ServiceAccount, by: Actor, data: Data) -> Done:
    registry.disable(service_account, by=by)
    return Done(f"{service_account} is disabled: the API refuses its tokens.")


def enable(service_account: ServiceAccount, by: Actor, data: Data) -> Done:
    registry.enable(service_account, by=by)
    return Done(f"{service_account} is enabled.")


def revoke(token: Token, by: Actor, data: Data) -> Done:
    tokens.revoke(token.prefix, by=by)
    return Done(f"{token.prefix} is revoked: the API refuses it from now on.")


# --- What is said before


def what_is_suspended(account: Account, data: Data) -> list[str]:
    number = lifecycle.owned_by(account.pk).count()
    return [
        f"From the next request on, the API refuses every token of {account} (403).",
        f"Its {number:,} databases go on and can be used; it still pays.",
    ]


def what_ends(account: Account, data: Data) -> list[str]:
    number = lifecycle.owned_by(account.pk).count()
    return [
        f"From the next request on, the API refuses every token of {account} (403): it has no plan.",
        f"Its {number:,} databases go on. To delete them, do that first.",
    ]


def what_is_disabled(service_account: ServiceAccount, data: Data) -> list[str]:
    number = service_account.tokens.filter(revoked_at=None).count()
    return [f"From the next request on, the API refuses its {number:,} tokens (401). It can be enabled again."]


def what_is_revoked(token: Token, data: Data) -> list[str]:
    used = (
        f"It was last used at {token.last_used_at:%Y-%m-%d %H:%M} UTC." if token.last_used_at else "It was never used."
    )
    return [f"From the next request on, the API refuses {token.prefix} of {token.service_account}, for good.", used]


ACCOUNT_BUTTONS = [
    Button(
        name="token",
        label="Issue token",
        icon="vpn_key",
        permission="accounts.issue_token",
        do=issue_for_account,
        form=NewTokenOfAccount,
    ),
    Button(
        name="plan",
        label="Change plan",
        icon="swap_horiz",
        permission="billing.change_subscription",
        do=change_plan,
        form=WhichPlan,
        tells=lambda account, data: [f"{account} goes to {data['plan']}.", *plan_change.preview(account, data["plan"])],
        previews=True,
    ),
    Button(
        name="service-account",
        label="Add service account",
        icon="smart_toy",
        permission="accounts.add_serviceaccount",
        do=add_service_account,
        form=NewServiceAccount,
    ),
    Button(
        name="resume",
        label="Resume",
        icon="play_arrow",
        permission="accounts.suspend_account",
        do=resume,
        tells=lambda account, data: [f"The API lets {account} in again, from the next request on."],
        when=lambda account: account.suspended_at is not None,
        bulk=True,
    ),
    Button(
        name="suspend",
        label="Suspend",
        icon="pause",
        permission="accounts.suspend_account",
        do=suspend,
        tells=what_is_suspended,
        when=lambda account: account.suspended_at is None,
        danger=True,
        bulk=True,
    ),
    Button(
        name="end",
        label="End subscription",
        icon="cancel",
        permission="billing.change_subscription",
        do=end_subscription,
        tells=what_ends,
        when=lambda account: account.subscriptions.filter(ended_at=None).exists(),
        danger=True,
    ),
]

OPEN_ACCOUNT = Button(
    name="open",
    label="Open an account",
    icon="add",
    permission="accounts.add_account",
    do=open_account,
    form=NewAccount,
)

SERVICE_ACCOUNT_BUTTONS = [
    Button(
        name="token", label="Issue token", icon="vpn_key", permission="accounts.issue_token", do=issue, form=NewToken
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


# --- The pages


@admin.register(Account)
class AccountPage(Page):
    list_display = ["name", "state", "created_at"]
    list_filter = [("suspended_at", admin.EmptyFieldListFilter)]
    ordering = ["name"]
    search = of_account
    search_help_text = "The beginning of its name or id."
    fields = ["name"]
    overview = "console/account.html"
    buttons = ACCOUNT_BUTTONS
    list_buttons = [OPEN_ACCOUNT]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("accounts.change_account")

    @admin.display(description="state", ordering="suspended_at")
    def state(self, account: Account) -> SafeString:
        return label("suspended") if account.suspended_at else label("active")

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        account = cast(Account, obj)
        owned = lifecycle.owned_by(account.pk)
        subscriptions = list(account.subscriptions.select_related("plan")[:LISTED])
        active = next((found for found in subscriptions if found.ended_at is None), None)
        today = timezone.now().date()
        counted = dict(
            Usage.objects.filter(account=account, day__gt=today - timedelta(days=DAYS)).values_list("day", "count")
        )
        days = [today - timedelta(days=ago) for ago in reversed(range(DAYS))]
        limit = active.plan.max_requests_per_day if active else None
        sees_trail = request.user.has_perm("accounts.view_auditentry")
        return {
            "account": account,
            "subscription": active,
            "plan": active.plan if active else None,
            "subscriptions": subscriptions,
            "today": counted.get(today, 0),
            "used": counted.get(today, 0) / limit if limit else None,
            "usage": charts.bars([(day, counted.get(day, 0)) for day in days], limit=limit),
            "number": owned.count(),
            "instances": owned.select_related("node").order_by("-created_at")[:LISTED],
            "tokens": Token.objects.filter(service_account__account=account).select_related("service_account")[:LISTED],
            "service_accounts": account.service_accounts.order_by("name")[:LISTED],
            "trail": AuditEntry.objects.filter(account_id=account.pk)[:10] if sees_trail else [],
            "may_revoke": request.user.has_perm("accounts.revoke_token"),
            "now": timezone.now(),
        }


@admin.register(ServiceAccount)
class ServiceAccountPage(Page):
    list_display = ["name", "account", "state", "created_at"]
    list_select_related = ["account"]
    list_filter = [("disabled_at", admin.EmptyFieldListFilter)]
    ordering = ["-created_at"]
    sortable_by = ["created_at"]
    narrows_by = frozenset({"account__id__exact"})
    search = finding.any_of(finding.by_name(), finding.by_id(), finding.through("account_id", Account, of_account))
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
        finding.through("service_account__account_id", Account, of_account),
        finding.through("service_account_id", ServiceAccount, finding.by_name()),
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
        return format_html('<a href="{}">{}</a>', address(token.service_account), token.service_account)

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
