"""Nodes: how they are, and what they are for."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString

from accounts.actors import Actor
from basekv.console import charts, fields, finding
from basekv.console.buttons import Asking, Button, Data, Done
from basekv.console.labels import label
from basekv.console.page import Page
from basekv.console.templatetags.console import mib, percent
from instances import removal
from instances.models import Instance
from nodes import errands, history, intents, packing
from nodes.fingerprint import fingerprint
from nodes.models import Errand, HealthSample, Node
from nodes.states import ErrandKind, Intent

SHOWN = timedelta(hours=24)


# Longer than a sample's minute: after that nobody knew how the node was.
SAMPLE_LASTS = timedelta(minutes=3)


LISTED = 20


class NodesName(Asking):
    name = fields.text("To be sure, type the node's name")

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name != self.subject.name:
            self.add_error("name", f"That is not its name: {self.subject.name}")
        return name


def probe(node: Node, by: Actor, data: Data) -> Done:
    errands.ask(node, ErrandKind.PROBE, by=by)
    return Done(f"A worker is probing {node}; this page shows what it finds.")


def upgrade(node: Node, by: Actor, data: Data) -> Done:
    errands.ask(node, ErrandKind.UPGRADE, by=by)
    return Done(f"A worker brings the agent to {node}; this page shows what comes of it.")


def activate(node: Node, by: Actor, data: Data) -> Done:
    intents.want(node, Intent.ACTIVE, by=by)
    return Done(f"{node} is active: it is given new databases.")


def drain(node: Node, by: Actor, data: Data) -> Done:
    intents.want(node, Intent.DRAINING, by=by)
    return Done(f"{node} is draining: it is given no new databases.")


def disable(node: Node, by: Actor, data: Data) -> Done:
    intents.want(node, Intent.DISABLED, by=by)
    return Done(f"{node} is disabled: it is given no new databases.")


def remove(node: Node, by: Actor, data: Data) -> Done:
    removal.remove(node, write_off=False, by=by)
    return Done(f"{node} is forgotten.", gone=True)


def write_off(node: Node, by: Actor, data: Data) -> Done:
    lost = removal.remove(node, write_off=True, by=by)
    return Done(f"{node} is written off, with {len(lost)} databases.", gone=True)


def databases(number: int) -> str:
    return "1 database" if number == 1 else f"{number:,} databases"


def no_new_ones(node: Node, data: Data) -> list[str]:
    return [f"{node} is given no new databases. Its {databases(node.slots_used)} stay and are looked after."]


def given_new_ones(node: Node, data: Data) -> list[str]:
    free = node.capacity_mb - node.reserved_mb
    return [f"{node} is given new databases, as long as it is online: {mib(free)} of memory are free on it."]


def what_is_upgraded(node: Node, data: Data) -> list[str]:
    ours = packing.pack().release
    return [
        f"{node} has the agent of release {node.agent_release}; it is given release {ours}.",
        "Databases go on while it is replaced.",
    ]


def what_is_lost(node: Node, data: Data) -> list[str]:
    held = Instance.objects.filter(node=node, slot__isnull=False).select_related("account").order_by("created_at")
    number = held.count()
    lines = [
        f"{databases(number).capitalize()} and all data in them are gone for good; the node is forgotten.",
        "Do this only when the machine is gone: nothing is erased on it.",
    ]
    lines += [f"Lost: {instance.name} of {instance.account} ({instance.status})" for instance in held[:LISTED]]
    return [*lines, f"… and {number - LISTED:,} more."] if number > LISTED else lines


def what_is_forgotten(node: Node, data: Data) -> list[str]:
    return [f"{node} holds no database. It is forgotten, with the history of those that were on it."]


NODE_BUTTONS = [
    Button(name="probe", label="Probe now", icon="network_check", permission="nodes.probe_node", do=probe),
    Button(
        name="activate",
        label="Activate",
        icon="play_arrow",
        permission="nodes.drain_node",
        do=activate,
        tells=given_new_ones,
        when=lambda node: node.intent != Intent.ACTIVE,
        bulk=True,
    ),
    Button(
        name="drain",
        label="Drain",
        icon="water_drop",
        permission="nodes.drain_node",
        do=drain,
        tells=no_new_ones,
        when=lambda node: node.intent != Intent.DRAINING,
        bulk=True,
    ),
    Button(
        name="disable",
        label="Disable",
        icon="block",
        permission="nodes.drain_node",
        do=disable,
        tells=no_new_ones,
        when=lambda node: node.intent != Intent.DISABLED,
    ),
    Button(
        name="upgrade",
        label="Upgrade agent",
        icon="upgrade",
        permission="nodes.upgrade_node",
        do=upgrade,
        tells=what_is_upgraded,
    ),
    Button(
        name="remove",
        label="Remove",
        icon="delete",
        permission="nodes.write_off_node",
        do=remove,
        tells=what_is_forgotten,
        when=lambda node: node.slots_used == 0,
        danger=True,
    ),
    Button(
        name="write-off",
        label="Write off",
        icon="delete_forever",
        permission="nodes.write_off_node",
        do=write_off,
        tells=what_is_lost,
        form=NodesName,
        when=lambda node: node.slots_used > 0,
        danger=True,
    ),
]


@admin.register(Node)
class NodePage(Page):
    """Nodes are enrolled by `enroll_node`; here they are seen and told what they are for."""

    list_display = ["name", "region", "show_health", "show_intent", "seen_at", "used", "number", "problem"]
    list_select_related = ["region"]
    list_without = ["report"]
    list_filter = ["health", "intent", "region"]
    ordering = ["name"]
    search = finding.any_of(finding.by_name(), finding.by_name("host"), finding.by_id())
    search_help_text = "The beginning of its name, host or id."
    fields = ["name", "region", "host", "default_storage_mb"]
    overview = "console/node.html"
    buttons = NODE_BUTTONS

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("nodes.change_node")

    def save_model(self, request: HttpRequest, obj: Node, form: ModelForm[Node], change: bool) -> None:
        """Only what was changed: the counters and the health in this copy are old by now."""
        obj.save(update_fields=form.changed_data)

    @admin.display(description="health", ordering="health")
    def show_health(self, node: Node) -> SafeString:
        return label(node.health)

    @admin.display(description="intent", ordering="intent")
    def show_intent(self, node: Node) -> SafeString:
        return label(node.intent)

    @admin.display(description="memory given away", ordering="load")
    def used(self, node: Node) -> str:
        return f"{percent(node.load)} of {mib(node.capacity_mb)}"

    @admin.display(description="databases", ordering="slots_used")
    def number(self, node: Node) -> str:
        return f"{node.slots_used:,}"

    @admin.display(description="last error", empty_value="–")
    def problem(self, node: Node) -> str | None:
        return node.last_error[:120] or None

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        node = cast(Node, obj)
        now = timezone.now()
        samples = list(history.of(node, now - SHOWN))
        on_it = Instance.objects.filter(node=node, slot__isnull=False)
        asked = errands.latest(node, [ErrandKind.PROBE, ErrandKind.UPGRADE])
        return {
            "node": node,
            "report": node.report,
            "memory": share_used(node.report.get("memory"), "available_mb"),
            "disk": share_used(node.report.get("disk"), "free_mb"),
            "fingerprint": shown(node.host_key),
            "fingerprint_seen": shown(node.host_key_seen),
            "release": packing.pack().release,
            "history": drawn(samples, now - SHOWN, now),
            "errors": last_errors(samples),
            "states": on_it.values("status").annotate(number=Count("pk")).order_by("status"),
            "instances": on_it.select_related("account").order_by("-created_at")[:LISTED],
            "errand": asked,
            "waiting": asked is not None and errands.is_waited_for(asked),
        }

    # --- What a worker fetches meanwhile

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.errand)
        return [path("errand/<uuid:errand_id>/", view, name="nodes_errand"), *super().get_urls()]

    def errand(self, request: HttpRequest, errand_id: uuid.UUID) -> HttpResponse:
        """A piece of the page that asks again until there is an answer; then the page is loaded anew."""
        errand = Errand.objects.filter(pk=errand_id).first()
        if errand is None:
            raise Http404
        wants = "instances.see_log" if errand.kind == ErrandKind.LOG else "nodes.view_node"
        if not request.user.has_perm(wants):
            raise PermissionDenied
        waiting = errands.is_waited_for(errand)
        answer = render(request, "console/errand.html", {"errand": errand, "waiting": waiting})
        if not waiting:
            answer["HX-Refresh"] = "true"
        return answer


def share_used(part: dict[str, int] | None, free: str) -> float | None:
    return 1 - part[free] / part["total_mb"] if part and part.get("total_mb") else None


def shown(host_key: str) -> str:
    """Empty where there is no key, or none that can be read."""
    try:
        return fingerprint(host_key)
    except ValueError:
        return ""


def drawn(samples: Sequence[HealthSample], since: Any, until: Any) -> dict[str, Any]:
    moments = [(sample.at, sample.health) for sample in samples]
    return {
        "stretches": charts.stretches(moments, since=since, until=until, most=SAMPLE_LASTS),
        "lines": {
            name: charts.line([(s.at, getattr(s, name)) for s in samples], since=since, until=until)
            for name in ("load", "memory", "disk")
        },
        "width": charts.WIDTH,
        "height": charts.HEIGHT,
    }


def last_errors(samples: Sequence[HealthSample]) -> list[HealthSample]:
    """The latest of each kind, the newest first."""
    latest = {sample.error: sample for sample in samples if sample.error}
    return sorted(latest.values(), key=lambda sample: sample.at, reverse=True)[:5]
