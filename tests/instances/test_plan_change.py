"""What an operator is told before an account's plan is changed is what happens then."""

import pytest

from accounts.actors import SYSTEM
from billing import plans
from instances import plan_change
from tests import factories

pytestmark = pytest.mark.django_db
CREATE = "/api/v1/instances"


def plan(slug, **limits):
    return plans.set_limits(slug, {**dict.fromkeys(plans.LIMITS), **limits}, by=SYSTEM)


@pytest.fixture
def customer():
    factories.node()
    customer = factories.customer(databases=5)
    for name in ("one", "two"):
        customer.client.post(CREATE, {"name": name}, content_type="application/json")
    return customer


def create(customer):
    return customer.client.post(CREATE, {"name": "more"}, content_type="application/json").status_code


def test_too_small_a_plan_keeps_what_is_there_and_refuses_more(customer):
    small = plan("small", max_databases=1, max_storage_mb=16)
    said = " ".join(plan_change.preview(customer.account, small))
    assert "has 2 databases, and Small allows 1: those that are there stay, new ones are refused" in said
    assert "gets 16 MiB" in said
    plans.subscribe(customer.account, small, by=SYSTEM)
    assert customer.account.instances.exclude(status="deleted").count() == 2
    assert create(customer) == 429


def test_a_day_that_is_used_up_is_said_to_be(customer):
    tight = plan("tight", max_requests_per_day=2)
    assert "more are refused until 00:00 UTC" in " ".join(plan_change.preview(customer.account, tight))
    plans.subscribe(customer.account, tight, by=SYSTEM)
    assert create(customer) == 429


def test_a_larger_plan_says_that_there_is_room(customer):
    said = " ".join(plan_change.preview(customer.account, plan("large", max_databases=9, max_requests_per_day=10)))
    assert "2 databases of the 9" in said
    assert "Requests made today: 2, of the 10" in said
    assert "without a limit" in " ".join(plan_change.preview(customer.account, plan("all")))


def test_the_price_and_the_same_plan(customer):
    dear = plan("dear")
    type(dear).objects.update(price_cents=2_900)
    dear.refresh_from_db()
    type(dear).objects.filter(pk=customer.plan.pk).update(price_cents=0)
    assert "from 0.00 to 29.00" in plan_change.preview(customer.account, dear)[0]
    assert plan_change.preview(customer.account, customer.plan)[0].endswith("nothing changes.")
    plans.unsubscribe(customer.account, by=SYSTEM)
    assert "no active subscription" in plan_change.preview(customer.account, dear)[0]
