"""The figures of the dashboard, and the lists that they lead to."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from basekv import metrics
from instances import alerts
from instances.models import Alert, Operation
from tests.console.conftest import database

pytestmark = pytest.mark.django_db
FIGURE = re.compile(r'<a class="bkv-figure[^"]*" href="([^"]+)"><b>(\d+)</b> operations? ([\w ]+)</a>')


@pytest.fixture
def queue(world):
    """A name of a database for each way in which its operation may stand."""
    now = timezone.now()
    Operation.objects.all().delete()
    states = {
        "waits": {},
        "is retried": {"due_at": now + timedelta(minutes=1), "attempts": 3},
        # A worker is missing, and it may still be done in time.
        "is due": {"due_at": now - timedelta(minutes=3), "deadline": now + timedelta(minutes=2)},
        "works": {"state": "running"},
        "is late": {"deadline": now - timedelta(seconds=1)},
        "is deleted": {"kind": "deprovision", "deadline": None},
        "is deleted late": {"kind": "deprovision", "deadline": None, "created_at": now - timedelta(minutes=11)},
        "failed": {"state": "failed", "finished_at": now, "deadline": now - timedelta(minutes=1)},
        "was done": {"state": "succeeded", "finished_at": now},
    }
    for name, state in states.items():
        database(world, name).operations.update(**state)


def figures(client):
    """{name: (number, link)}"""
    page = client.get("/admin/").content.decode()
    return {name: (int(number), link.replace("&amp;", "&")) for link, number, name in FIGURE.findall(page)}


def listed(client, link):
    rows = client.get(link).context["cl"].result_list
    return {operation.instance.name for operation in rows}


def test_each_figure_leads_to_the_list_that_it_counts(queue, superuser):
    shown = figures(superuser)
    late = {"is late", "is deleted late"}
    waiting = {"waits", "is retried", "is due", "is deleted", *late}
    expected = {
        "open": {*waiting, "works"},
        "waiting": waiting,
        "late": late,
        "failed in 24 h": {"failed"},
    }
    assert {name: number for name, (number, _) in shown.items()} == {name: len(of) for name, of in expected.items()}
    assert {name: listed(superuser, link) for name, (_, link) in shown.items()} == expected


def test_alerts_metric_and_dashboard_mean_the_same_by_late(queue, superuser):
    alerts.refresh()
    late = Alert.objects.filter(resolved_at=None, kind__in=["operation_late", "deletions_late"])
    metric = next(found for found in metrics.operations(timezone.now()) if found.name == "basekv_operations_late")
    assert figures(superuser)["late"][0] == late.count() == metric.samples[0].value == 2
