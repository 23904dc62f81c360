"""The console has every model, and its forms change what they say and nothing else."""

import pytest
from django.contrib import admin
from django.test import RequestFactory
from django.urls import reverse

from accounts.models import User
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
