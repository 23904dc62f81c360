"""Plans: what customers can pay for."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from basekv.console import finding
from basekv.console.page import Page
from basekv.console.templatetags.console import count, mib, money
from billing.models import Plan


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
