"""A node leaves the fleet only when it holds nothing, unless it is written off."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from instances.models import Instance
from nodes.models import Node
from tests import factories

pytestmark = pytest.mark.django_db


def remove(*args: str) -> str:
    out = StringIO()
    call_command("remove_node", *args, stdout=out)
    return out.getvalue()


@pytest.fixture
def held():
    node = factories.node(name="doomed")
    customer = factories.customer(databases=1)
    created = customer.client.post("/api/v1/instances", {"name": "db"}, content_type="application/json").json()
    return node, customer, created["id"]


def test_a_node_that_holds_databases_stays(held):
    with pytest.raises(CommandError, match="1 databases"):
        remove("doomed")
    assert Node.objects.exists()
    assert Instance.objects.exists()


def test_also_one_that_has_not_yet_confirmed_a_deletion(held):
    _, customer, id = held
    customer.client.delete(f"/api/v1/instances/{id}?force=true")
    with pytest.raises(CommandError):
        remove("doomed")


def test_an_empty_node_goes_with_what_was_once_on_it():
    factories.node(name="doomed")
    assert "0 databases" in remove("doomed")
    assert not Node.objects.exists()


def test_a_written_off_node_says_what_is_lost_and_frees_its_customers(held):
    _, customer, id = held
    answer = json.loads(remove("doomed", "--write-off", "--json"))
    assert answer["lost"] == [{"instance_id": id, "name": "db", "account": customer.account.name}]
    assert customer.client.get("/api/v1/instances").json()["instances"] == []
    assert customer.client.get(f"/api/v1/instances/{id}").status_code == 404
    factories.node()
    answer = customer.client.post("/api/v1/instances", {"name": "again"}, content_type="application/json")
    assert answer.status_code == 201


def test_an_unknown_name_is_a_sentence():
    with pytest.raises(CommandError, match="list_nodes"):
        remove("nobody")
