"""The operators' commands: what they change holds at once, and a mistake is a sentence and changes nothing."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Account
from billing.models import Plan, Subscription
from nodes.models import Region
from tests import factories

pytestmark = pytest.mark.django_db


def run(command: str, *args: str) -> str:
    out = StringIO()
    call_command(command, *args, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_seed_plans_makes_the_three_and_keeps_what_an_operator_changed():
    run("seed_plans")
    Plan.objects.filter(pk="free").update(max_databases=7)
    run("seed_plans")
    assert set(Plan.objects.values_list("slug", flat=True)) == {"free", "pro", "unlimited"}
    assert Plan.objects.get(pk="free").max_databases == 7
    unlimited = Plan.objects.get(pk="unlimited")
    assert (unlimited.max_databases, unlimited.max_storage_mb, unlimited.max_requests_per_day) == (None, None, None)


def test_create_account_opens_one_with_an_active_subscription():
    run("seed_plans")
    answer = json.loads(run("create_account", "Acme", "--plan", "pro", "--json"))
    assert Account.objects.get(pk=answer["id"]).name == "Acme"
    assert Subscription.objects.get(account=answer["id"], ended_at=None).plan_id == "pro"


@pytest.mark.parametrize(
    "args, problem",
    [
        (["Acme", "--plan", "gold"], "The plans are: .*free"),
        (["Taken", "--plan", "free"], "already"),
        (["   ", "--plan", "free"], "1 to 100"),
        (["x" * 101, "--plan", "free"], "1 to 100"),
    ],
)
def test_an_account_that_cannot_be_made_leaves_nothing_behind(args, problem):
    run("seed_plans")
    run("create_account", "Taken", "--plan", "free")
    with pytest.raises(CommandError, match=problem):
        run("create_account", *args)
    assert Account.objects.count() == 1


def test_set_plan_holds_from_the_next_request_on():
    customer = factories.customer(requests=None)
    run("set_plan", customer.plan.slug, "--max-requests-per-day", "1")
    statuses = [customer.client.get("/api/v1/whoami").status_code for _ in range(2)]
    run("set_plan", customer.plan.slug, "--max-requests-per-day", "unlimited")
    assert [*statuses, customer.client.get("/api/v1/whoami").status_code] == [200, 429, 200]


def test_set_plan_changes_only_what_is_named():
    run("seed_plans")
    shown = run("set_plan", "pro", "--max-databases", "3")
    assert "max_databases 3" in shown
    plan = Plan.objects.get(pk="pro")
    assert (plan.max_databases, plan.max_storage_mb, plan.name) == (3, 256, "Pro")


def test_set_plan_makes_a_new_plan_when_every_limit_is_named():
    args = ["--max-databases=1", "--max-storage-mb=2", "--max-requests-per-day=unlimited"]
    run("set_plan", "extra-small", *args)
    plan = Plan.objects.get(pk="extra-small")
    assert (plan.name, plan.max_databases, plan.max_storage_mb, plan.max_requests_per_day) == (
        "Extra Small",
        1,
        2,
        None,
    )


@pytest.mark.parametrize(
    "args",
    [
        ["gold", "--max-databases=1"],
        ["pro", "--max-databases=-1"],
        ["pro", "--max-databases=1.5"],
        ["pro", "--max-databases=99999999999"],
        ["pro", "--max-databases="],
        ["pro", "--max-storage-mb=0"],
        ["pro", "--max-storage-mb=2000000"],
        ["Extra Small", "--max-databases=1", "--max-storage-mb=2", "--max-requests-per-day=3"],
    ],
)
def test_a_limit_that_is_none_changes_nothing(args):
    run("seed_plans")
    before = list(Plan.objects.values())
    with pytest.raises(CommandError):
        run("set_plan", *args)
    assert list(Plan.objects.values()) == before


def test_add_region_adds_and_renames():
    run("add_region", "eu-west", "--name", "Europe")
    run("add_region", "eu-west", "--name", "Europe, west")
    assert Region.objects.get().name == "Europe, west"
    with pytest.raises(CommandError):
        run("add_region", "no slug", "--name", "x")


def test_revoking_an_unknown_token_says_what_a_prefix_is():
    with pytest.raises(CommandError, match="first 12 characters"):
        run("revoke_token", "bkv_nothing")
