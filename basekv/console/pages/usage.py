"""Usage: requests of a day."""

from django.contrib import admin
from django.utils.safestring import SafeString

from accounts.models import Account
from basekv.console import finding, searches
from basekv.console.page import Page, link
from billing.models import Usage


@admin.register(Usage)
class UsagePage(Page):
    """Counted by the admission statement alone."""

    list_display = ["day", "whose", "requests"]
    list_select_related = ["account"]
    list_filter = ["day"]
    ordering = ["-day", "-count"]
    sortable_by = ["day"]
    narrows_by = frozenset({"account__id__exact", "day", "day__exact"})
    search = finding.through("account_id", Account, searches.of_account)
    search_help_text = "The beginning of an account's name or id."
    fields = ["account", "day", "count"]

    @admin.display(description="account")
    def whose(self, usage: Usage) -> SafeString:
        return link(usage.account)

    @admin.display(description="requests", ordering="count")
    def requests(self, usage: Usage) -> str:
        return f"{usage.count:,}"
