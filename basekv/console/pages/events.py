"""Events: what happened to instances."""

from django.contrib import admin
from django.utils.safestring import SafeString

from basekv.console import finding, searches
from basekv.console.labels import label
from basekv.console.page import Page, link
from instances.models import Event, Instance


@admin.register(Event)
class EventPage(Page):
    list_display = ["created_at", "whose", "show_status", "text"]
    list_select_related = ["instance"]
    list_filter = ["status"]
    ordering = ["-created_at"]
    sortable_by = ["created_at"]
    search = finding.through("instance_id", Instance, searches.of_instance)
    search_help_text = "The beginning of an instance's name or of its id."
    fields = ["created_at", "instance", "operation", "status", "text"]

    @admin.display(description="instance")
    def whose(self, event: Event) -> SafeString:
        return link(event.instance, event.instance.name)

    @admin.display(description="status after it", ordering="status")
    def show_status(self, event: Event) -> SafeString:
        return label(event.status)
