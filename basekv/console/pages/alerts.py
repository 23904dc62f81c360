"""Alerts: what is wrong now, and what to do about it."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from accounts.actors import Actor
from basekv.console import finding, subjects
from basekv.console.buttons import Button, Data, Done
from basekv.console.labels import label
from basekv.console.page import Page
from instances import alerts
from instances.models import Alert


def acknowledge(alert: Alert, by: Actor, data: Data) -> Done:
    if alerts.acknowledge(alert.pk, by=by):
        return Done("You have it in hand; the alert stays open until its cause is gone.")
    return Done("Somebody else has it in hand, or it is resolved by now.")


ACKNOWLEDGE = Button(
    name="acknowledge",
    label="Acknowledge",
    icon="back_hand",
    permission="instances.acknowledge_alert",
    do=acknowledge,
    when=lambda alert: alert.resolved_at is None and alert.acknowledged_at is None,
    bulk=True,
)


@admin.register(Alert)
class AlertPage(Page):
    """Opened and resolved by the comparison in instances/alerts.py alone."""

    list_display = ["kind", "show_severity", "state", "subject_label", "text", "opened_at"]
    list_filter = ["severity", "kind", ("resolved_at", admin.EmptyFieldListFilter)]
    ordering = ["-opened_at"]
    narrows_by = frozenset({"resolved_at__isnull"})
    search = finding.any_of(finding.by_name("subject_label"), finding.exactly("subject_id"), finding.exactly("kind"))
    search_help_text = "The beginning of what it is about, its id, or a kind."
    overview = "console/alert.html"
    fields: list[str] = []
    buttons = [ACKNOWLEDGE]

    @admin.display(description="severity", ordering="severity")
    def show_severity(self, alert: Alert) -> SafeString:
        return label(alert.severity)

    @admin.display(description="state")
    def state(self, alert: Alert) -> SafeString:
        return label("resolved" if alert.resolved_at else "acknowledged" if alert.acknowledged_at else "open")

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {"alert": obj, "subject": subjects.address_of(obj.subject_type, obj.subject_id)}
