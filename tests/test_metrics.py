"""What Prometheus reads: how the fleet is, at the price of a few queries, and nobody's name."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from accounts.actors import SYSTEM
from instances import alerts, lifecycle
from instances.models import Instance, Operation
from nodes.models import Node
from tests import factories

pytestmark = pytest.mark.django_db
BEARER = {"Authorization": "Bearer of good news"}


@pytest.fixture(autouse=True)
def token(settings):
    settings.BASEKV_METRICS_TOKEN = "of good news"


def text() -> str:
    answer = Client(headers=BEARER).get("/metrics")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=")
    return answer.content.decode()


def scraped() -> dict[tuple[str, ...], float]:
    """By name, and the values of the labels in the labels' alphabetical order."""
    families = text_string_to_metric_families(text())
    return {(s.name, *dict(sorted(s.labels.items())).values()): s.value for family in families for s in family.samples}


def create(customer, region="local"):
    answer = customer.client.post(
        "/api/v1/instances", {"name": "db of Erika", "region": region}, content_type="application/json"
    )
    return Instance.objects.get(pk=answer.json()["id"])


def test_without_a_token_of_its_own_there_is_no_such_page(settings):
    settings.BASEKV_METRICS_TOKEN = ""
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer"}):
        assert Client(headers=headers).get("/metrics").status_code == 404


@pytest.mark.parametrize(
    "given", [None, "Bearer", "Bearer of bad news", "of good news", "Bearer ünïcode", "Basic eDp5"]
)
def test_nobody_else_reads_them(given):
    answer = Client(headers={"Authorization": given} if given else {}).get("/metrics")
    assert (answer.status_code, answer.content, answer["WWW-Authenticate"]) == (401, b"", 'Bearer realm="metrics"')


def test_a_customers_token_is_none_of_these():
    assert factories.customer().client.get("/metrics").status_code == 401


def test_an_empty_fleet_has_metrics_too():
    assert scraped()["basekv_operations_open",] == 0


def test_they_say_how_the_fleet_is():
    now = timezone.now()
    factories.node(capacity_mb=1000, slots=10, activated_at=now)
    factories.node(region="eu", capacity_mb=500, slots=10, intent="draining", health="offline", activated_at=now)
    customer = factories.customer()
    late, failed, deleted = (create(customer) for _ in range(3))
    Operation.objects.update(due_at=now + timedelta(minutes=1))
    late.operations.update(due_at=now - timedelta(minutes=9), deadline=now - timedelta(minutes=4))
    failed.operations.update(state="failed", finished_at=now)
    deleted.operations.update(kind="deprovision", deadline=None, created_at=now - timedelta(minutes=11))
    Instance.objects.filter(pk=failed.pk).update(status="failed")
    alerts.refresh()

    found = scraped()
    assert found["basekv_instances", "local", "pending"] == 2
    assert found["basekv_instances", "local", "failed"] == 1
    assert found["basekv_operations_open",] == 2
    assert found["basekv_operations_late",] == 2
    assert found["basekv_operations_failed_last_hour",] == 1
    assert found["basekv_operations_oldest_due_seconds",] == pytest.approx(540, abs=10)
    assert found["basekv_nodes", "online", "active", "local"] == 1
    assert found["basekv_nodes", "offline", "draining", "eu"] == 1
    assert found["basekv_memory_capacity_bytes", "offline", "draining", "eu"] == 500 * 2**20
    assert found["basekv_memory_reserved_bytes", "online", "active", "local"] == 3 * 48 * 2**20
    assert (
        found["basekv_slots", "online", "active", "local"],
        found["basekv_slots_used", "online", "active", "local"],
    ) == (10, 3)
    assert found["basekv_requests_today",] == 3
    assert found["basekv_alerts_open", "node_offline", "critical"] == 1
    assert found["basekv_alerts_open", "operation_late", "warning"] == 1
    assert found["basekv_alerts_open", "deletions_late", "warning"] == 1
    assert found["basekv_heartbeat_age_seconds", "alerts"] == pytest.approx(0, abs=10)


def test_what_was_resolved_deleted_or_failed_long_ago_is_not_in_them():
    factories.node(health="offline", activated_at=timezone.now())
    alerts.refresh()
    Node.objects.update(health="online")
    alerts.refresh()
    instance = create(factories.customer())
    lifecycle.delete(instance, by=SYSTEM, force=True)
    Operation.objects.update(state="failed", finished_at=timezone.now() - timedelta(hours=2))
    assert not [key for key in scraped() if key[0] in ("basekv_alerts_open", "basekv_instances")]
    assert scraped()["basekv_operations_failed_last_hour",] == 0


def test_they_take_six_queries_however_many_there_are(django_assert_num_queries):
    for region in ("a", "b", "c"):
        factories.node(region=region)
        create(factories.customer(), region)
    with django_assert_num_queries(6):
        text()


def test_they_name_no_customer():
    factories.node()
    customer = factories.customer()
    instance = create(customer)
    Instance.objects.update(status="failed")
    alerts.refresh()
    shown = text()
    assert "instance_failed" in shown
    for name in (customer.account.name, "Erika", str(customer.account.pk), str(instance.pk), customer.token.prefix):
        assert name not in shown
