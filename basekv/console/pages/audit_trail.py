"""The audit trail: who did what."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.models import AuditEntry
from basekv.console import finding
from basekv.console.page import Page


@admin.register(AuditEntry)
class AuditEntryPage(Page):
    """Searched by what is indexed: the whole of an actor, a subject's or an account's id, an action."""

    list_display = ["at", "actor_label", "action", "subject_label", "address"]
    list_filter = ["actor_kind", "at"]
    narrows_by = frozenset({"account_id__exact", "account_id", "subject_id", "action"})
    search = finding.any_of(finding.exactly("actor_label"), finding.exactly("subject_id"), finding.exactly("action"))
    search_help_text = "An email or a token's prefix; an action, such as node.drain; the id of what it was done to."
    overview = "console/audit_entry.html"
    fields: list[str] = []

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {"entry": obj}
