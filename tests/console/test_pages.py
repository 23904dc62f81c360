"""The console opens for staff, shows every model, and changes nothing by being looked at."""

import pytest
from django.contrib import admin
from django.db import connection
from django.test import RequestFactory
from django.urls import reverse

from accounts.models import User
from instances import lifecycle
from nodes.models import Node
from tests import factories

pytestmark = pytest.mark.django_db
OURS = {"accounts", "billing", "nodes", "instances"}
MODELS = [model for model in admin.site._registry if model._meta.app_label in OURS]


@pytest.fixture
def staff(client):
    User.objects.create_superuser("Ops@Example.com", "correct horse battery")
    assert client.login(username="ops@example.com", password="correct horse battery")
    return client


@pytest.fixture
def customer():
    factories.node()
    customer = factories.customer(requests=10)
    customer.client.post(
        "/api/v1/instances", {"name": "db"}, content_type="application/json", headers={"Idempotency-Key": "k"}
    )
    return customer


def test_every_app_has_its_models_in_the_console():
    assert {model._meta.label for model in MODELS} >= {
        "accounts.User", "accounts.Account", "accounts.ServiceAccount", "accounts.Token",
        "billing.Plan", "billing.Subscription", "billing.Usage",
        "nodes.Region", "nodes.Node",
        "instances.Instance", "instances.Operation", "instances.Event",
    }  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_each_page_opens_searches_and_shows_no_secret(staff, customer, model):
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    password = lifecycle.password(customer.account.instances.get())
    pages = [reverse(f"{name}_changelist"), reverse(f"{name}_changelist") + "?q=db"]
    pages += [reverse(f"{name}_change", args=[row.pk]) for row in model.objects.all()[:1]]
    for page in pages:
        answer = staff.get(page)
        assert answer.status_code == 200, page
        text = answer.content.decode()
        assert password not in text
        assert customer.secret not in text
        assert "gAAAA" not in text, "an encrypted password"


def test_looking_changes_nothing(staff, customer):
    staff.get("/admin/")  # the session's own row is written by signing in

    def everything() -> list[tuple]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_xact_user_tables ORDER BY 1")
            return cursor.fetchall()

    before = everything()
    for model in MODELS:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        staff.get(reverse(f"{name}_changelist"))
    assert everything() == before


def test_a_person_is_added_by_email_and_signs_in(staff, client):
    answer = staff.post(
        "/admin/accounts/user/add/",
        {"email": "new@example.com", "password1": "a long enough one 9", "password2": "a long enough one 9"},
    )
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    User.objects.filter(email="new@example.com").update(is_staff=True)
    client.logout()
    answer = client.post("/admin/login/", {"username": "NEW@example.com", "password": "a long enough one 9"})
    assert answer.status_code == 302


def test_whoever_is_not_staff_stays_outside(client):
    User.objects.create_user("someone@example.com", "correct horse battery")
    client.login(username="someone@example.com", password="correct horse battery")
    assert client.get("/admin/").status_code == 302


def test_saving_a_node_leaves_alone_what_happened_meanwhile(staff, customer):
    node = customer.account.instances.get().node
    page = reverse("admin:nodes_node_change", args=[node.pk])
    form = staff.get(page).context["adminform"].form
    data = {name: value for name in form.fields if (value := form[name].value()) is not None}
    stale = Node.objects.get(pk=node.pk)
    request = RequestFactory().post(page, {**data, "host": "other.example.com"})
    request.user = User.objects.get()
    changed = admin.site._registry[Node].get_form(request, stale, change=True)(request.POST, instance=stale)
    assert changed.is_valid(), changed.errors
    Node.objects.filter(pk=node.pk).update(slots_used=7, reserved_mb=70, health="stale")
    admin.site._registry[Node].save_model(request, changed.save(commit=False), changed, change=True)
    now = Node.objects.get(pk=node.pk)
    assert (now.host, now.slots_used, now.reserved_mb, now.health) == ("other.example.com", 7, 70, "stale")
