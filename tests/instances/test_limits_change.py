"""What an operator is told before a plan's limits are changed is what happens then."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.actors import SYSTEM
from billing import plans
from instances import limits_change
from tests import factories

pytestmark = pytest.mark.django_db
CREATE = "/api/v1/instances"
NAMES = {"max_databases", "max_storage_mb", "max_requests_per_day"}


@pytest.fixture
def customer():
    factories.node()
    customer = factories.customer(databases=5)
    for name in ("one", "two"):
        assert create(customer, name) == 201
    return customer


def create(customer, name="more"):
    return customer.client.post(CREATE, {"name": name}, content_type="application/json").status_code


def said(customer, **limits):
    return " ".join(limits_change.preview(customer.plan, {**plans.limits_of(customer.plan), **limits}))


def test_whoever_has_more_databases_keeps_them_and_gets_new_ones_below_the_limit_only(customer):
    told = said(customer, max_databases=1)
    assert "Databases: from 5 to 1. Accounts that have more: 1" in told
    assert f"({customer.account}: 2)" in told
    assert "Nothing is deleted; they get no new database until they have fewer than 1." in told
    plans.set_limits(customer.plan.pk, {"max_databases": 1}, by=SYSTEM)
    assert customer.account.instances.exclude(status="deleted").count() == 2
    assert create(customer) == 429
    assert "they get no new database." in said(customer, max_databases=0)
    assert "No account has more" in said(customer, max_databases=2)


def test_databases_keep_the_storage_that_they_have(customer):
    told = said(customer, max_storage_mb=16)
    assert "from 32 MiB to 16 MiB, for new databases; those that are there keep theirs" in told
    assert "Larger than that: 2 (accounts: 1)." in told
    plans.set_limits(customer.plan.pk, {"max_storage_mb": 16}, by=SYSTEM)
    assert create(customer, "small") == 201
    assert sorted(customer.account.instances.values_list("name", "storage_mb")) == [
        ("one", 32),
        ("small", 16),
        ("two", 32),
    ]


def test_requests_that_were_made_today_count(customer):
    assert "Accounts that made as many today: 1. More are refused until 00:00 UTC." in said(
        customer, max_requests_per_day=2
    )
    plans.set_limits(customer.plan.pk, {"max_requests_per_day": 2}, by=SYSTEM)
    assert create(customer) == 429


def test_the_accounts_of_the_plan_alone_are_counted(customer):
    factories.customer()
    plans.subscribe(factories.customer().account, customer.plan, by=SYSTEM)
    left = factories.customer()
    plans.subscribe(left.account, customer.plan, by=SYSTEM)
    plans.subscribe(left.account, left.plan, by=SYSTEM)
    assert said(customer, max_databases=None).startswith(f"Accounts on {customer.plan}: 2.")
    assert "from 5 to unlimited" in said(customer, max_databases=None)
    assert said(customer) == "These are its limits already: nothing changes."


def test_as_many_queries_for_many_accounts_as_for_one(customer):
    tight = dict.fromkeys(NAMES, 1)
    with CaptureQueriesContext(connection) as few:
        limits_change.preview(customer.plan, tight)
    for _ in range(7):
        another = factories.customer()
        plans.subscribe(another.account, customer.plan, by=SYSTEM)
        for name in ("one", "two"):
            create(another, name)
    with CaptureQueriesContext(connection) as many:
        told = " ".join(limits_change.preview(customer.plan, tight))
    assert "Accounts that have more: 8" in told
    assert told.count(": 2") == limits_change.NAMED
    assert len(many) == len(few)
