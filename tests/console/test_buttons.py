"""Every button, for every role: who may not press it does not see it, and is refused when pressing it anyway."""

import pytest
from django.contrib import admin
from django.urls import reverse

from accounts.models import Account, AuditEntry, Token
from accounts.roles import Role, permissions_of
from basekv.console.buttons import Button
from basekv.console.page import Page, address, listed
from billing.models import Plan
from instances.models import Alert, Instance
from nodes.models import Errand, Node, Region

pytestmark = pytest.mark.django_db

PAGES = {model: page for model, page in admin.site._registry.items() if isinstance(page, Page)}
BUTTONS = [(model, button) for model, page in PAGES.items() for button in page.buttons]
LIST_BUTTONS = [(model, button) for model, page in PAGES.items() for button in page.list_buttons]

# What must be typed, and the entry in the audit trail that says that the verb was called.
FORMS = {
    "write-off": lambda subject: {"name": subject.name},
    "plan": lambda subject: {"plan": Plan.objects.exclude(subscriptions__account=subject).first().pk},
    "service-account": lambda subject: {"name": "new"},
    "token": lambda subject: {"service_account": "agent", "scopes": ["db.instances.read"]},
    "limits": lambda subject: {"max_databases": 1},
    "price": lambda subject: {"name": "Gold", "price_cents": 9_900},
    "rename": lambda subject: {"name": "Elsewhere"},
}
WRITTEN = {
    "instance.restart": "instance.restart",
    "instance.retry": "instance.restart",
    "instance.rotate": "instance.rotate",
    "instance.password": "instance.reveal",
    "instance.log": "instance.see_log",
    "instance.delete": "instance.delete",
    "instance.force-delete": "instance.delete",
    "node.probe": None,
    "node.upgrade": None,
    "node.activate": "node.activate",
    "node.drain": "node.drain",
    "node.disable": "node.disable",
    "node.remove": "node.remove",
    "node.write-off": "node.write_off",
    "account.token": "token.issue",
    "account.plan": "account.subscribe",
    "account.service-account": "service_account.create",
    "account.resume": "account.resume",
    "account.suspend": "account.suspend",
    "account.end": "account.unsubscribe",
    "serviceaccount.token": "token.issue",
    "serviceaccount.enable": "service_account.enable",
    "serviceaccount.disable": "service_account.disable",
    "token.revoke": "token.revoke",
    "alert.acknowledge": "alert.acknowledge",
    "plan.limits": "plan.change",
    "plan.price": "plan.change",
    "region.rename": "region.change",
}


def name_of(value):
    return value.name if isinstance(value, Button) else value._meta.model_name


def subject_of(model, button):
    """One for which the button is there."""
    return next(row for row in model.objects.order_by("pk") if button.when(row))


def place(subject, button):
    options = subject._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_do", args=[subject.pk, button.name])


def typed(subject, button):
    return FORMS.get(button.name, lambda _: {})(subject)


@pytest.mark.parametrize("model, button", BUTTONS, ids=name_of)
def test_only_the_roles_with_the_right_see_it_and_press_it(world, has_role, model, button):
    subject = subject_of(model, button)
    where = place(subject, button)
    for role in Role:
        client = has_role(role)
        may = button.permission in permissions_of(role)
        assert (where in client.get(address(subject)).content.decode()) == may, role
        assert client.get(where).status_code == (200 if may else 403), role
        if not may:
            entries = AuditEntry.objects.count()
            assert client.post(where, typed(subject, button)).status_code == 403, role
            assert AuditEntry.objects.count() == entries


@pytest.mark.parametrize("model, button", BUTTONS, ids=name_of)
def test_it_does_what_it_is_for_in_the_name_of_whoever_pressed_it(world, superuser, model, button):
    subject = subject_of(model, button)
    asked = superuser.get(place(subject, button))
    assert asked.status_code == 200
    before = set(AuditEntry.objects.values_list("pk", flat=True))
    answer = superuser.post(place(subject, button), typed(subject, button))
    assert answer.status_code in {200, 302}
    new = AuditEntry.objects.exclude(pk__in=before)
    expected = WRITTEN[f"{model._meta.model_name}.{button.name}"]
    if expected is None:
        assert Errand.objects.get().asked_by == "root@example.com"
    else:
        entry = new.filter(action=expected).get()
        assert (entry.actor_label, entry.actor_kind) == ("root@example.com", "user")


@pytest.mark.parametrize("model, button", BUTTONS, ids=name_of)
def test_whatever_destroys_asks_and_says_what_will_happen(world, superuser, model, button):
    subject = subject_of(model, button)
    if button.danger:
        page = superuser.get(place(subject, button)).content.decode()
        assert button.told(subject, {})
        assert str(subject).partition(" (")[0] in page


@pytest.mark.parametrize("model, button", LIST_BUTTONS, ids=name_of)
def test_on_a_list_too(world, has_role, model, button):
    where = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_do_on_list", args=[button.name])
    for role in Role:
        client = has_role(role)
        may = button.permission in permissions_of(role)
        assert (where in client.get(listed(model)).content.decode()) == may, role
        assert client.get(where).status_code == client.post(where).status_code == (200 if may else 403)


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


def test_who_may_not_press_it_for_one_may_not_for_many(world, has_role):
    token = Token.objects.filter(revoked_at=None).first()
    chosen = {"action": "revoke", "_selected_action": [token.pk], "sure": "1"}
    has_role(Role.BILLING).post(listed(Token), chosen)
    token.refresh_from_db()
    assert token.revoked_at is None


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
