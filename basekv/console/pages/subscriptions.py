"""Subscriptions: which plan an account has had, and when."""

from django.contrib import admin
from django.utils.safestring import SafeString

from accounts.models import Account
from basekv.console import finding, searches
from basekv.console.labels import label
from basekv.console.page import Page, link
from billing.models import Subscription


@admin.register(Subscription)
class SubscriptionPage(Page):
    """Changed on the account's page, where it says what a change means."""

    list_display = ["whose", "plan", "state", "started_at", "ended_at"]
    list_select_related = ["account", "plan"]
    list_filter = ["plan", ("ended_at", admin.EmptyFieldListFilter)]
    ordering = ["-started_at"]
    sortable_by = ["started_at"]
    narrows_by = frozenset({"account__id__exact"})
    search = finding.through("account_id", Account, searches.of_account)
    search_help_text = "The beginning of an account's name or id."
    fields = ["account", "plan", "started_at", "ended_at"]

    @admin.display(description="account")
    def whose(self, subscription: Subscription) -> SafeString:
        return link(subscription.account)

    @admin.display(description="state")
    def state(self, subscription: Subscription) -> SafeString:
        return label("ended") if subscription.ended_at else label("active")
