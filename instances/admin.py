from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from instances.models import Event, Instance, Operation, Orphan


class ReadOnlyAdmin(ModelAdmin):
    """An instance changes by an operation, never by editing its row."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Instance)
class InstanceAdmin(ReadOnlyAdmin):
    list_display = ["name", "account", "status", "protocol", "node", "storage_mb", "created_at"]
    list_filter = ["status", "protocol"]
    list_select_related = ["account", "node"]
    search_fields = ["id", "name", "account__name"]


@admin.register(Operation)
class OperationAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "kind", "instance", "state", "attempts", "due_at", "error"]
    list_filter = ["state", "kind"]
    list_select_related = ["instance"]
    search_fields = ["id", "instance__id", "instance__name"]


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "instance", "status", "text"]
    list_select_related = ["instance"]
    search_fields = ["instance__id", "instance__name"]


@admin.register(Orphan)
class OrphanAdmin(ReadOnlyAdmin):
    list_display = ["instance_id", "node", "found_at", "quarantined_at", "erased_at"]
    list_select_related = ["node"]
    search_fields = ["instance_id", "node__name"]
