from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest

from accounts.audited_admin import AuditedAdmin
from nodes.models import Node, Region


@admin.register(Region)
class RegionAdmin(AuditedAdmin):
    list_display = ["slug", "name"]
    search_fields = ["slug", "name"]


@admin.register(Node)
class NodeAdmin(AuditedAdmin):
    """Nodes are enrolled by `enroll_node`; here an operator sees them and sets what they are for."""

    list_display = [
        "name",
        "region",
        "intent",
        "health",
        "seen_at",
        "reserved_mb",
        "capacity_mb",
        "slots_used",
    ]
    list_filter = ["intent", "health", "region"]
    search_fields = ["name", "host"]
    # What placement and the enrolment keep is changed by them alone.
    readonly_fields = [
        "capacity_mb",
        "slots",
        "first_port",
        "ssh_host",
        "ssh_port",
        "ssh_user",
        "health",
        "seen_at",
        "reported_at",
        "report",
        "last_error",
        "agent_digest",
        "engines",
        "reserved_mb",
        "slots_used",
        "load",
        "host_key",
        "supervisor",
    ]

    def save_model(self, request: HttpRequest, obj: Node, form: ModelForm[Node], change: bool) -> None:
        """Only what was changed: the counters and the health in this copy are old by now."""
        obj.save(update_fields=form.changed_data)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
