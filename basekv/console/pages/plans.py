"""What customers pay for: plans, subscriptions, usage."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import Account
from basekv.console import finding
from basekv.console.labels import label
from basekv.console.page import Page, address
from basekv.console.templatetags.console import count, mib, money
from billing.models import Plan, Subscription, Usage

of_account = finding.any_of(finding.by_name(), finding.by_id())


@admin.register(Plan)
class PlanPage(Page):
    list_display = ["name", "slug", "databases", "storage", "requests", "price"]
    search = finding.any_of(finding.by_name(), finding.by_name("slug"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.add_plan")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.change_plan")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["slug"] if obj else []  # it is the plan's identity in the API

    @admin.display(description="databases", ordering="max_databases")
    def databases(self, plan: Plan) -> str:
        return count(plan.max_databases)

    @admin.display(description="storage of each", ordering="max_storage_mb")
    def storage(self, plan: Plan) -> str:
        return mib(plan.max_storage_mb) if plan.max_storage_mb else "the node's default"

    @admin.display(description="requests a day", ordering="max_requests_per_day")
    def requests(self, plan: Plan) -> str:
        return count(plan.max_requests_per_day)

    @admin.display(description="price a month", ordering="price_cents")
    def price(self, plan: Plan) -> str:
        return money(plan.price_cents)


@admin.register(Subscription)
class SubscriptionPage(Page):
    """Changed on the account's page, where it says what a change means."""

    list_display = ["whose", "plan", "state", "started_at", "ended_at"]
    list_select_related = ["account", "plan"]
    list_filter = ["plan", ("ended_at", admin.EmptyFieldListFilter)]
    ordering = ["-started_at"]
    sortable_by = ["started_at"]
    narrows_by = frozenset({"account__id__exact"})
    search = finding.through("account_id", Account, of_account)
    search_help_text = "The beginning of an account's name or id."
    fields = ["account", "plan", "started_at", "ended_at"]

    @admin.display(description="account")
    def whose(self, subscription: Subscription) -> SafeString:
        return format_html('<a href="{}">{}</a>', address(subscription.account), subscription.account)

    @admin.display(description="state")
    def state(self, subscription: Subscription) -> SafeString:
        return label("ended") if subscription.ended_at else label("active")


@admin.register(Usage)
class UsagePage(Page):
    """Counted by the admission statement alone."""

    list_display = ["day", "whose", "requests"]
    list_select_related = ["account"]
    list_filter = ["day"]
    ordering = ["-day", "-count"]
    sortable_by = ["day"]
    narrows_by = frozenset({"account__id__exact", "day", "day__exact"})
    search = finding.through("account_id", Account, of_account)
    search_help_text = "The beginning of an account's name or id."
    fields = ["account", "day", "count"]

    @admin.display(description="account")
    def whose(self, usage: Usage) -> SafeString:
        return format_html('<a href="{}">{}</a>', address(usage.account), usage.account)

    @admin.display(description="requests", ordering="count")
    def requests(self, usage: Usage) -> str:
        return f"{usage.count:,}"
