"""Accounts: opened, suspended, given another plan."""

from datetime import timedelta
from typing import Any, cast

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from accounts import registry, tokens
from accounts.actors import Actor
from accounts.models import Account, AuditEntry, Token
from basekv.console import charts, fields, searches
from basekv.console.buttons import Asking, Button, Data, Done, Secret
from basekv.console.labels import label
from basekv.console.page import Page
from basekv.console.pages.tokens import NewToken, expiry, shown
from billing import plans
from billing.models import Plan, Subscription, Usage
from instances import lifecycle, plan_change
from instances.states import Status

DAYS = 30


LISTED = 20


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
    made = registry.add_service_account(account, data["name"], by=by)
    return Done(f"{made.name} is a service account of {account}.", goto=made)


def issue_for_account(account: Account, by: Actor, data: Data) -> Secret:
    return shown(
        *tokens.issue_for(account, data["service_account"], scopes=data["scopes"], expires_at=expiry(data), by=by)
    )


def with_databases(accounts: QuerySet[Account]) -> QuerySet[Any]:
    return accounts.annotate(databases=Count("instances", filter=~Q(instances__status=Status.DELETED)))


def what_is_suspended(account: Any, data: Data) -> list[str]:
    return [
        f"From the next request on, the API refuses every token of {account} (403).",
        f"Its {account.databases:,} databases go on and can be used; it still pays.",
    ]


def what_ends(account: Any, data: Data) -> list[str]:
    return [
        f"From the next request on, the API refuses every token of {account} (403): it has no plan.",
        f"Its {account.databases:,} databases go on. To delete them, do that first.",
    ]


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
        knowing=with_databases,
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
        knowing=with_databases,
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


@admin.register(Account)
class AccountPage(Page):
    list_display = ["name", "state", "created_at"]
    list_filter = [("suspended_at", admin.EmptyFieldListFilter)]
    ordering = ["name"]
    search = searches.of_account
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
