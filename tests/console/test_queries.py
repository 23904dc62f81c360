"""How many queries each page makes, however many rows there are. A number that grows is a decision, not an accident."""

import pytest
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Account, AuditEntry, ServiceAccount, Token
from billing.models import Plan, Subscription, Usage
from instances.models import Alert, Event, Instance, Operation, Orphan
from nodes.models import Node, Region
from tests import factories
from tests.console.conftest import alert, database
from tests.console.pressing import BULK_BUTTONS, name_of

pytestmark = pytest.mark.django_db

# Session and user are 2 of them; of a list, 2 are the count and the rows, and 1 is for each filter by another table.
LISTS = {
    Node: 5,
    Region: 4,
    Instance: 5,
    Operation: 4,
    Event: 4,
    Orphan: 4,
    Account: 4,
    ServiceAccount: 4,
    Token: 4,
    Subscription: 5,
    Plan: 4,
    Usage: 4,
    Alert: 5,
    AuditEntry: 4,
}
OBJECTS = {Node: 9, Instance: 7, Account: 12}
DASHBOARD = 14


@pytest.fixture
def many(world, superuser):
    """More of what the pages list; each in its own account, on its own node. And a session that was just written, and
    what Django remembers of its models."""
    superuser.get("/admin/")
    ContentType.objects.get_for_models(*admin.site._registry)
    for number in range(5):
        node = factories.node(region=f"region-{number}")
        customer = factories.customer()
        customer.client.get("/api/v1/whoami")
        database(customer, f"more {number}")
        database(world, f"more of it {number}")
        alert(node)
    return world


def path_of(model):
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model._meta.model_name)
def test_lists(superuser, many, model, django_assert_num_queries):
    with django_assert_num_queries(LISTS[model]):
        assert superuser.get(path_of(model)).status_code == 200


@pytest.mark.parametrize("model", OBJECTS, ids=lambda model: model._meta.model_name)
def test_objects(superuser, many, model, django_assert_num_queries):
    row = many.account if model is Account else Instance.objects.get(name="runs") if model is Instance else None
    row = row or Instance.objects.get(name="runs").node
    with django_assert_num_queries(OBJECTS[model]):
        assert superuser.get(f"{path_of(model)}{row.pk}/change/").status_code == 200


def test_dashboard(superuser, many, django_assert_num_queries):
    with django_assert_num_queries(DASHBOARD):
        assert superuser.get("/admin/").status_code == 200


def test_every_list_is_pinned():
    ours = {model for model in admin.site._registry if model._meta.app_label != "auth"}
    assert {model._meta.label for model in ours} - {model._meta.label for model in LISTS} == {"accounts.User"}


def test_a_search_reads_no_table_from_end_to_end(superuser, many):
    """On a large table the planner would do so only where no index helps; here it is told that reading is dear."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for page, word in [(Instance, "runs"), (Account, "acc"), (ServiceAccount, "ag"), (Token, "bkv_")]:
            rows = admin.site._registry[page].search.where(word)
            plan = page.objects.filter(rows).order_by().explain()
            assert "Seq Scan" not in plan, plan


@pytest.mark.parametrize("model, button", BULK_BUTTONS, ids=name_of)
def test_asking_about_many_takes_as_many_queries_as_asking_about_two(superuser, many, model, button):
    rows = [row.pk for row in model.objects.all()]
    assert len(rows) > 5

    def asked(chosen):
        with CaptureQueriesContext(connection) as queries:
            page = superuser.post(path_of(model), {"action": button.name, "_selected_action": chosen})
        assert page.status_code == 200
        assert len(page.context["rows"]) == len(chosen)
        return len(queries)

    assert asked(rows) == asked(rows[:2])
