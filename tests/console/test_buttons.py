"""What the buttons say before they do anything, and what they do."""

import pytest

from accounts.models import Account, AuditEntry, Token
from basekv.console.page import address, listed
from billing.models import Plan
from instances.models import Alert, Instance
from nodes.models import Node, Region
from tests.console.pressing import BUTTONS, name_of, place, subject_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("model, button", [(model, button) for model, button in BUTTONS if button.danger], ids=name_of)
def test_whatever_destroys_asks_and_says_what_will_happen(world, superuser, model, button):
    subject = subject_of(model, button)
    page = superuser.get(place(model, button, subject))
    assert page.context["told"]
    assert str(subject).partition(" (")[0] in page.content.decode()


def test_an_account_is_opened_with_its_subscription_in_one_form(world, superuser):
    plan = Plan.objects.first()
    answer = superuser.post("/admin/accounts/account/do/open/", {"name": "Initech", "plan": plan.pk}, follow=True)
    account = Account.objects.get(name="Initech")
    assert account.subscriptions.get(ended_at=None).plan == plan
    assert "Initech is open" in answer.content.decode()
    twice = superuser.post("/admin/accounts/account/do/open/", {"name": "Initech", "plan": plan.pk}, follow=True)
    assert "named &#x27;Initech&#x27; already" in twice.content.decode()


def test_a_name_that_is_taken_is_said_to_be(world, superuser):
    where = f"/admin/accounts/account/{world.account.pk}/do/service-account/"
    page = superuser.post(where, {"name": "agent"}, follow=True).content.decode()
    assert f"{world.account} has a service account &#x27;agent&#x27; already." in page
    assert "is a service account of" not in page


def test_a_disabled_service_account_is_enabled_before_it_gets_a_token(world, superuser):
    disabled = world.account.service_accounts.get(name="disabled")
    assert "/do/token/" not in superuser.get(address(disabled)).content.decode()
    tokens = Token.objects.count()
    form = {"service_account": "disabled", "scopes": ["db.instances.read"]}
    for where in (address(world.account), address(disabled)):
        page = superuser.post(where.replace("/change/", "/do/token/"), form, follow=True).content.decode()
        assert "disabled is disabled: the API would refuse a token of it. Enable it first" in page
    assert Token.objects.count() == tokens


def test_a_change_of_plan_is_previewed_before_it_is_done(world, superuser):
    plan = Plan.objects.exclude(subscriptions__account=world.account).first()
    where = f"/admin/accounts/account/{world.account.pk}/do/plan/"
    preview = superuser.get(where, {"plan": plan.pk}).content.decode()
    assert "It has 2 databases" in preview
    assert world.account.subscriptions.get(ended_at=None).plan == world.plan
    superuser.post(where, {"plan": plan.pk})
    assert world.account.subscriptions.get(ended_at=None).plan == plan


def test_other_limits_of_a_plan_say_whom_they_concern_before_they_are_set(world, superuser):
    where = f"/admin/billing/plan/{world.plan.pk}/do/limits/"
    assert 'name="max_storage_mb" value="32"' in superuser.get(where).content.decode()
    limits = {"max_databases": "1", "max_storage_mb": "16", "max_requests_per_day": ""}
    preview = superuser.get(where, limits).content.decode()
    assert f"Accounts that have more: 1 ({world.account}: 2)" in preview
    world.plan.refresh_from_db()
    assert world.plan.max_databases is None, "it was only asked"
    superuser.post(where, limits)
    world.plan.refresh_from_db()
    assert (world.plan.max_databases, world.plan.max_storage_mb, world.plan.max_requests_per_day) == (1, 16, None)
    assert AuditEntry.objects.get(action="plan.change").changes == {
        "max_databases": [None, 1],
        "max_storage_mb": [32, 16],
    }
    assert "greater than or equal to 1" in superuser.get(where, {"max_storage_mb": "0"}).content.decode()


def test_plans_and_regions_are_added_once_and_renamed(world, superuser):
    gold = {"slug": "gold", "name": "Gold", "price_cents": "9900", "max_databases": "9"}
    add = "/admin/billing/plan/do/add/"
    assert "Gold is a plan" in superuser.post(add, gold, follow=True).content.decode()
    assert Plan.objects.filter(pk="gold", name="Gold", price_cents=9900, max_databases=9, max_storage_mb=None).exists()
    assert "a plan &#x27;gold&#x27; already" in superuser.post(add, gold, follow=True).content.decode()
    add = "/admin/nodes/region/do/add/"
    superuser.post(add, {"slug": "eu-west", "name": "West"})
    again = superuser.post(add, {"slug": "eu-west", "name": "Another"}).content.decode()
    assert "a region &#x27;eu-west&#x27; already" in again
    superuser.post("/admin/nodes/region/eu-west/do/rename/", {"name": "Western Europe"})
    assert Region.objects.get(pk="eu-west").name == "Western Europe"
    assert AuditEntry.objects.filter(action="region.change").get().changes == {"name": ["West", "Western Europe"]}


def test_a_write_off_wants_the_nodes_name_and_lists_what_is_lost(world, superuser):
    node = Instance.objects.first().node
    where = f"/admin/nodes/node/{node.pk}/do/write-off/"
    page = superuser.get(where).content.decode()
    assert "2 databases" in page
    assert "Lost: runs of" in page
    superuser.post(where, {"name": "another"})
    assert Node.objects.filter(pk=node.pk).exists()
    superuser.post(where, {"name": node.name})
    assert not Node.objects.filter(pk=node.pk).exists()


def test_for_many_it_shows_first_what_will_happen_to_each(world, superuser):
    rows = list(Instance.objects.all())
    chosen = {"action": "restart", "_selected_action": [row.pk for row in rows]}
    preview = superuser.post(listed(Instance), chosen).content.decode()
    assert "runs of" in preview
    assert "Not possible now" in preview, "the failed one"
    assert not AuditEntry.objects.filter(action="instance.restart").exists()
    done = superuser.post(listed(Instance), chosen | {"sure": "1"}, follow=True).content.decode()
    assert "done for 1 of 2" in done
    assert AuditEntry.objects.filter(action="instance.restart").count() == 1


def test_what_is_impossible_by_now_is_refused_with_a_reason(world, superuser):
    instance = Instance.objects.get(name="fails")
    page = superuser.post(f"/admin/instances/instance/{instance.pk}/do/rotate/", follow=True).content.decode()
    assert "The instance is failed" in page


def test_an_alert_is_first_on_the_dashboard_and_leads_to_its_subject(world, superuser):
    alert = Alert.objects.get()
    dashboard = superuser.get("/admin/").content.decode()
    assert "Bring it back." in dashboard
    superuser.post(f"/admin/instances/alert/{alert.pk}/do/acknowledge/")
    page = superuser.get(address(alert)).content.decode()
    assert f"/admin/nodes/node/{alert.subject_id}/change/" in page
    assert "root@example.com" in page
