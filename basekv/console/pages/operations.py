"""Operations: what was asked for, and what came of it."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from basekv.console import finding, searches
from basekv.console.labels import label
from basekv.console.page import Page, link
from instances.conditions import OPEN, is_late
from instances.models import Instance, Operation


class Progress(admin.SimpleListFilter):
    title = "progress"
    parameter_name = "progress"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("late", "Late")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Operation]) -> QuerySet[Operation]:
        narrows = {"open": OPEN, "late": is_late(timezone.now())}
        return queryset.filter(narrows.get(self.value() or "", Q()))


@admin.register(Operation)
class OperationPage(Page):
    list_display = ["created_at", "kind", "whose", "show_state", "asked_by", "attempts", "due_at", "error"]
    list_select_related = ["instance"]
    list_filter = [Progress, "state", "kind"]
    ordering = ["-created_at"]
    sortable_by = ["created_at"]
    narrows_by = frozenset({"instance__id__exact", "finished_at__gte"})
    search = finding.any_of(finding.by_id(), finding.through("instance_id", Instance, searches.of_instance))
    search_help_text = "The beginning of an id, of an instance's name, or of its id."
    fields = [
        *("kind", "instance", "state", "asked_by", "generation", "attempts", "created_at", "started_at", "finished_at"),
        *("due_at", "deadline", "leased_until", "error", "customer_error"),
    ]

    @admin.display(description="instance")
    def whose(self, operation: Operation) -> SafeString:
        return link(operation.instance, operation.instance.name)

    @admin.display(description="state", ordering="state")
    def show_state(self, operation: Operation) -> SafeString:
        return label(operation.state)
