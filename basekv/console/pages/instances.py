"""Instances: the databases themselves."""

from collections.abc import Sequence
from typing import Any, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from accounts.actors import Actor
from accounts.models import Account
from basekv.console import finding, searches
from basekv.console.buttons import Button, Data, Done, Secret
from basekv.console.labels import label
from basekv.console.page import Page
from basekv.console.templatetags.console import mib
from instances import lifecycle
from instances.models import Instance
from instances.states import ROTATES_FROM, TRANSITIONS, Status
from nodes import errands
from nodes.states import ErrandKind, Health

LISTED = 50


def restart(instance: Instance, by: Actor, data: Data) -> Done:
    lifecycle.restart(instance, by=by)
    return Done(f"{instance.name} restarts; every key is kept.")


def rotate(instance: Instance, by: Actor, data: Data) -> Done:
    lifecycle.rotate(instance, by=by)
    return Done(
        f"{instance.name} gets a new password: its node takes it in a moment, and refuses the old one from then on. "
        "The customer reads it by the API.",
        then="password",
    )


def reveal(instance: Instance, by: Actor, data: Data) -> Secret:
    password = lifecycle.reveal(instance, by=by)
    return Secret(
        f"The password of {instance.name}",
        password,
        "Close this page when you have it. That you saw it is written down.",
    )


def delete(instance: Instance, by: Actor, data: Data) -> Done:
    mode = lifecycle.delete(instance, by=by, force=False)
    if mode is lifecycle.Mode.ASYNC:
        return Done(f"{instance.name} is being deleted: {instance.node} has to confirm.")
    return Done(f"{instance.name} is deleted. {instance.node} is cleaned when it answers again.")


def force_delete(instance: Instance, by: Actor, data: Data) -> Done:
    lifecycle.delete(instance, by=by, force=True)
    return Done(f"{instance.name} is deleted. {instance.node} is cleaned as soon as it can be.")


def see_log(instance: Instance, by: Actor, data: Data) -> Done:
    errands.ask(instance.node, ErrandKind.LOG, by=by, instance_id=instance.pk)
    return Done("A worker fetches the log; it will be at the bottom of this page.")


def what_restarts(instance: Instance, data: Data) -> list[str]:
    return [
        f"{instance.name} of {instance.account} stops and starts again. Every key is kept; its connections are cut, "
        "and it does not answer for about a second."
    ]


def what_rotates(instance: Instance, data: Data) -> list[str]:
    return [
        f"{instance.name} of {instance.account} restarts with a new password; the present one is refused then.",
        "Whatever uses it fails until it has the new one. Every key is kept.",
        "Whoever may see passwords is shown the new one next, and that is written down.",
    ]


def with_reports(instances: QuerySet[Instance]) -> QuerySet[Instance]:
    """A node's report is large, and says how many keys each of its databases has: it is read once for all of them."""
    return instances.defer(None).select_related(None).select_related("account").prefetch_related("node")


def what_is_deleted(instance: Instance, data: Data) -> list[str]:
    keys = reported(instance).get("keys")
    with_keys = f" with its {keys:,} keys" if keys else ""
    lines = [f"{instance.name} of {instance.account}{with_keys} is erased for good. There is no way back."]
    if instance.node.health != Health.ONLINE:
        lines.append(
            f"{instance.node} is {instance.node.health}: for the customer it is gone at once, the node is cleaned when "
            "it answers again."
        )
    return lines


def what_is_forced(instance: Instance, data: Data) -> list[str]:
    return [
        *what_is_deleted(instance, data),
        f"For the customer it is gone at once. Its ports and memory stay taken until {instance.node} has confirmed.",
    ]


INSTANCE_BUTTONS = [
    Button(
        name="restart",
        label="Restart",
        icon="restart_alt",
        permission="instances.restart_instance",
        do=restart,
        tells=what_restarts,
        when=lambda instance: instance.status == Status.RUNNING,
        bulk=True,
    ),
    Button(
        name="retry",
        label="Try again",
        icon="refresh",
        permission="instances.restart_instance",
        do=restart,
        tells=lambda instance, data: [f"What failed for {instance.name} of {instance.account} is tried again."],
        when=lambda instance: instance.status == Status.FAILED,
        bulk=True,
    ),
    Button(
        name="rotate",
        label="Rotate password",
        icon="key",
        permission="instances.rotate_instance",
        do=rotate,
        tells=what_rotates,
        when=lambda instance: instance.status in ROTATES_FROM,
    ),
    Button(
        name="password",
        label="Show password",
        icon="visibility",
        permission="instances.see_password",
        do=reveal,
        tells=lambda instance, data: [
            f"You will see the password of {instance.name} of {instance.account}. That you did is written down."
        ],
        when=lambda instance: bool(instance.password_encrypted) and instance.status != Status.DELETED,
    ),
    Button(
        name="log",
        label="Fetch log",
        icon="notes",
        permission="instances.see_log",
        do=see_log,
        when=lambda instance: instance.slot is not None,
    ),
    Button(
        name="delete",
        label="Delete",
        icon="delete",
        permission="instances.delete_instance",
        do=delete,
        tells=what_is_deleted,
        knowing=with_reports,
        when=lambda instance: instance.status in TRANSITIONS[Status.DELETING],
        danger=True,
        bulk=True,
    ),
    Button(
        name="force-delete",
        label="Force delete",
        icon="delete_forever",
        permission="instances.force_delete_instance",
        do=force_delete,
        tells=what_is_forced,
        when=lambda instance: instance.status in TRANSITIONS[Status.DELETED],
        danger=True,
    ),
]


def reported(instance: Instance) -> dict[str, Any]:
    """What its node's last good probe said of it."""
    items: list[dict[str, Any]] = instance.node.report.get("instances", [])
    return next((item for item in items if item.get("id") == str(instance.pk)), {})


@admin.register(Instance)
class InstancePage(Page):
    list_display = ["name", "account", "show_status", "protocol", "node", "storage", "created_at"]
    list_select_related = ["account", "node"]
    list_without = ["node__report"]
    list_filter = ["status", "protocol", "node__region"]
    ordering = ["-created_at"]
    sortable_by = ["created_at"]
    narrows_by = frozenset({"account__id__exact", "node__id__exact", "status__in"})
    search = finding.any_of(searches.of_instance, finding.through("account_id", Account, searches.of_account))
    search_help_text = "The beginning of a name, of an account's name, or of an id."
    fields: Sequence[str] = []
    overview = "console/instance.html"
    buttons = INSTANCE_BUTTONS

    def get_queryset(self, request: HttpRequest) -> QuerySet[Instance]:
        return cast(QuerySet[Instance], super().get_queryset(request)).select_related("account", "node")

    @admin.display(description="status", ordering="status")
    def show_status(self, instance: Instance) -> SafeString:
        return label(instance.status)

    @admin.display(description="storage", ordering="storage_mb")
    def storage(self, instance: Instance) -> str:
        return mib(instance.storage_mb)

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        instance = cast(Instance, obj)
        asked = errands.latest(instance.node, [ErrandKind.LOG], instance.pk)
        probed = reported(instance)
        memory = probed.get("memory_bytes")
        return {
            "instance": instance,
            "node": instance.node,
            "probed": probed,
            "filled": memory / (instance.storage_mb * 2**20) if memory is not None else None,
            "operations": instance.operations.all()[:LISTED],
            "open": instance.operations.filter(finished_at=None).first(),
            "events": instance.events.select_related("operation")[:LISTED],
            "now": timezone.now(),
            "errand": asked if request.user.has_perm("instances.see_log") else None,
            "waiting": asked is not None and errands.is_waited_for(asked),
        }
