from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from accounts.audited_admin import AuditedAdmin
from billing.models import Plan, Subscription, Usage


@admin.register(Plan)
class PlanAdmin(AuditedAdmin):
    list_display = ["slug", "name", "max_databases", "max_storage_mb", "max_requests_per_day", "price_cents"]
    search_fields = ["slug", "name"]


@admin.register(Subscription)
class SubscriptionAdmin(AuditedAdmin):
    list_display = ["account", "plan", "started_at", "ended_at"]
    list_select_related = ["account", "plan"]
    search_fields = ["account__name", "plan__slug"]
    autocomplete_fields = ["account", "plan"]


@admin.register(Usage)
class UsageAdmin(ModelAdmin):
    """Counted by the admission statement alone, so it is only read here."""

    list_display = ["account", "day", "count"]
    list_select_related = ["account"]
    search_fields = ["account__name"]
    date_hierarchy = "day"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Usage | None = None) -> bool:
        return False
