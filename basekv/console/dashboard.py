"""The first page: what needs somebody, then the fleet, the databases and the requests. Every figure leads to the list
behind it, and the number of queries is the same however large the fleet is."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, F, FloatField, Q, Sum
from django.db.models.functions import Cast, NullIf
from django.http import HttpRequest
from django.utils import timezone

from basekv.console import charts
from basekv.console.page import listed
from billing.models import Usage
from instances import alerts
from instances.conditions import OPEN, is_late
from instances.models import Alert, Instance, Operation, Orphan
from instances.states import OperationState, Status
from nodes.models import Node, Region
from nodes.states import Health, Intent

RECENTLY = timedelta(hours=24)
NEAR = 0.8
DAYS = 14
LISTED = 10

Section = Callable[[datetime], Any]


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    number: int
    link: str


@dataclass(slots=True)
class RegionRow:
    name: str
    link: str
    nodes: list[Figure] = field(default_factory=list)
    instances: list[Figure] = field(default_factory=list)
    capacity_mb: int = 0
    reserved_mb: int = 0

    @property
    def load(self) -> float | None:
        return self.reserved_mb / self.capacity_mb if self.capacity_mb else None


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """For the theme, which asks for it by name. Whoever may not see something gets no figures of it."""
    now = timezone.now()
    sections: dict[str, tuple[str, Section]] = {
        "regions": ("nodes.view_node", regions),
        "operations": ("instances.view_operation", operations),
        "orphans": ("instances.view_orphan", orphans),
        "requests": ("billing.view_usage", requests),
        "near": ("billing.view_usage", near_their_quota),
    }
    shown: dict[str, Any] = {}
    if request.user.has_perm("instances.view_alert"):
        shown["alerts"] = open_alerts(now) | {"may_acknowledge": request.user.has_perm("instances.acknowledge_alert")}
    shown |= {name: make(now) for name, (permission, make) in sections.items() if request.user.has_perm(permission)}
    return {**context, **shown, "title": "Dashboard"}


def filtered(model: Any, **lookups: object) -> str:
    return listed(model, urlencode(lookups))


def open_alerts(now: datetime) -> dict[str, Any]:
    checked_at = alerts.checked_at()
    return {
        "number": alerts.open().count(),
        "shown": alerts.open()[:LISTED],
        "link": filtered(Alert, resolved_at__isnull=True),
        "checked_at": checked_at,
        "is_silent": checked_at is None or now - checked_at > alerts.SILENT_AFTER,
    }


def regions(now: datetime) -> list[RegionRow]:
    rows = {
        pk: RegionRow(name, filtered(Node, region__slug__exact=pk))
        for pk, name in Region.objects.values_list("pk", "name")
    }
    nodes: dict[str, dict[str, int]] = defaultdict(dict)
    # Placement gives databases to those alone that are online and wanted: only their room counts.
    counted = (
        Node.objects.order_by()
        .values("region_id", "health")
        .annotate(
            number=Count("pk"),
            capacity=Sum("capacity_mb", filter=Q(health=Health.ONLINE, intent=Intent.ACTIVE), default=0),
            reserved=Sum("reserved_mb", filter=Q(health=Health.ONLINE, intent=Intent.ACTIVE), default=0),
        )
    )
    for found in counted:
        row = rows[found["region_id"]]
        row.capacity_mb += found["capacity"]
        row.reserved_mb += found["reserved"]
        nodes[found["region_id"]][found["health"]] = found["number"]
    statuses = instances_by_region()
    for pk, row in rows.items():
        row.nodes = [
            Figure(health, nodes[pk][health], filtered(Node, region__slug__exact=pk, health__exact=health))
            for health in Health.values
            if nodes[pk].get(health)
        ]
        row.instances = [
            Figure(status, statuses[pk][status], filtered(Instance, node__region__slug__exact=pk, status__exact=status))
            for status in Status.values
            if statuses[pk].get(status)
        ]
    return list(rows.values())


def instances_by_region() -> dict[str, dict[str, int]]:
    """First by node, from an index alone: far fewer rows are then brought together with their nodes."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    of_node = dict(Node.objects.order_by().values_list("pk", "region_id"))
    alive = Instance.objects.exclude(status=Status.DELETED).order_by()
    for row in alive.values("node_id", "status").annotate(number=Count("*")):
        found[of_node.get(row["node_id"], "")][row["status"]] += row["number"]
    return found


def operations(now: datetime) -> list[Figure]:
    since = now - RECENTLY
    found = Operation.objects.filter(OPEN).aggregate(
        open=Count("pk"),
        waiting=Count("pk", filter=Q(state=OperationState.QUEUED)),
        late=Count("pk", filter=is_late(now)),
    )
    failed = Operation.objects.filter(state=OperationState.FAILED, finished_at__gte=since).count()
    return [
        Figure("open", found["open"], filtered(Operation, progress="open")),
        Figure("waiting", found["waiting"], filtered(Operation, state__exact="queued")),
        Figure("late", found["late"], filtered(Operation, progress="late")),
        Figure(
            "failed in 24 h",
            failed,
            filtered(Operation, state__exact="failed", finished_at__gte=since.isoformat()),
        ),
    ]


def orphans(now: datetime) -> Figure:
    kept = Orphan.objects.filter(erased_at=None).count()
    return Figure("orphans kept", kept, filtered(Orphan, erased_at__isnull=True))


def requests(now: datetime) -> dict[str, Any]:
    today = now.date()
    first = today - timedelta(days=DAYS - 1)
    sums = Usage.objects.filter(day__gte=first).order_by().values("day").annotate(total=Sum("count"))
    counted = dict(sums.values_list("day", "total"))
    days = [first + timedelta(days=ago) for ago in range(DAYS)]
    return {
        "today": counted.get(today, 0),
        "today_link": filtered(Usage, day__exact=today),
        "yesterday": counted.get(today - timedelta(days=1), 0),
        "yesterday_link": filtered(Usage, day__exact=today - timedelta(days=1)),
        "usage": charts.bars([(day, counted.get(day, 0)) for day in days]),
    }


def near_their_quota(now: datetime) -> list[Usage]:
    """Those that have used most of what their plan allows today, whoever has used the largest share first."""
    plan_of = "account__subscriptions__plan__max_requests_per_day"
    limited = Usage.objects.annotate(limit=F(plan_of), share=Cast("count", FloatField()) / NullIf(F(plan_of), 0))
    near = limited.filter(day=now.date(), account__subscriptions__ended_at=None, share__gte=NEAR)
    return list(near.select_related("account").order_by("-share")[:LISTED])
