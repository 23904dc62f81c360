from django.contrib import admin
from django.http import HttpRequest

from nodes.models import Node, Region


@admin.register(Region)
class RegionAdmin(admin.ModelAdmin[Region]):
    list_display = ["slug", "name"]
    search_fields = ["slug", "name"]


@admin.register(Node)
class NodeAdmin(admin.ModelAdmin[Node]):
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
    readonly_fields = [
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

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
