"""/metrics for Prometheus: how the fleet is, read from PostgreSQL when somebody asks.

No counters in our own processes: there are several of them, and each would count its own. No label names a customer.
"""

import hmac
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Min, Q, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from billing.models import Usage
from instances import alerts
from instances.conditions import OPEN, is_late
from instances.models import Heartbeat, Instance, Operation
from instances.states import OperationState, Status
from nodes.models import Node

RECENTLY = timedelta(hours=1)


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    if not settings.BASEKV_METRICS_TOKEN:
        raise Http404
    given = request.headers.get("Authorization", "").encode(errors="replace")
    if not hmac.compare_digest(given, f"Bearer {settings.BASEKV_METRICS_TOKEN}".encode()):
        return HttpResponse(status=401, headers={"WWW-Authenticate": 'Bearer realm="metrics"'})
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)


class Fleet(Collector):
    """Six queries, whatever there is."""

    def collect(self) -> Iterator[Metric]:
        now = timezone.now()
        yield by(
            "basekv_alerts_open",
            "Open alerts.",
            ["kind", "severity"],
            alerts.open().order_by().values("kind", "severity").annotate(value=Count("pk")),
        )
        yield by(
            "basekv_instances",
            "Databases that are not deleted.",
            ["status", "region"],
            Instance.objects.exclude(status=Status.DELETED)
            .order_by()
            .values("status", region=F("node__region"))
            .annotate(value=Count("pk")),
        )
        yield from operations(now)
        yield from nodes()
        yield gauge(
            "basekv_requests_today",
            "Counted requests of the UTC day that it is.",
            Usage.objects.filter(day=now.astimezone(UTC).date()).aggregate(value=Sum("count", default=0))["value"],
        )
        yield by(
            "basekv_heartbeat_age_seconds",
            "Since the beat, the broker and a worker last did this together.",
            ["name"],
            [{"name": beat.name, "value": age(now, beat.at)} for beat in Heartbeat.objects.all()],
        )


def operations(now: datetime) -> Iterator[Metric]:
    found = Operation.objects.filter(OPEN | Q(state=OperationState.FAILED, finished_at__gt=now - RECENTLY)).aggregate(
        open=Count("pk", filter=OPEN),
        late=Count("pk", filter=is_late(now)),
        failed=Count("pk", filter=~OPEN),
        oldest=Min("due_at", filter=OPEN & Q(lease=None, due_at__lt=now)),
    )
    yield gauge("basekv_operations_open", "Changes of databases that are not done yet.", found["open"])
    yield gauge("basekv_operations_late", "Those of them that should be done, or have failed, by now.", found["late"])
    yield gauge("basekv_operations_failed_last_hour", "Changes that were given up in the last hour.", found["failed"])
    yield gauge(
        "basekv_operations_oldest_due_seconds",
        "How long the oldest change that is due has waited for a worker.",
        age(now, found["oldest"]),
    )


def nodes() -> Iterator[Metric]:
    rows: list[Any] = list(
        Node.objects.order_by()
        .values("region", "intent", "health")
        .annotate(
            value=Count("pk"),
            memory=Sum("capacity_mb"),
            reserved=Sum("reserved_mb"),
            all_slots=Sum("slots"),
            used=Sum("slots_used"),
        )
    )
    labels = ["region", "intent", "health"]
    yield by("basekv_nodes", "Nodes.", labels, rows)
    for name, help, column, unit in (
        ("basekv_memory_capacity_bytes", "Memory for databases.", "memory", 2**20),
        ("basekv_memory_reserved_bytes", "Memory that is given away.", "reserved", 2**20),
        ("basekv_slots", "Places for databases.", "all_slots", 1),
        ("basekv_slots_used", "Places that are taken.", "used", 1),
    ):
        yield by(name, help, labels, [{**row, "value": row[column] * unit} for row in rows])


def by(name: str, help: str, labels: list[str], rows: Iterable[Any]) -> Metric:
    family = GaugeMetricFamily(name, help, labels=labels)
    for row in rows:
        family.add_metric([row[label] for label in labels], row["value"])
    return family


def gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help, value=value)


def age(now: datetime, moment: datetime | None) -> float:
    """Seconds; 0 where there is none."""
    return max((now - moment).total_seconds(), 0.0) if moment else 0.0


REGISTRY = CollectorRegistry()
REGISTRY.register(Fleet())
