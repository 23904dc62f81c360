"""How many round trips each operation makes. A number that grows is a decision, not an accident."""

import pytest

from instances.models import Instance, Operation
from tests import factories

CREATE = "/api/v1/instances"


@pytest.fixture
def running(db):
    factories.node()
    customer = factories.customer(databases=100)
    for name in ("one", "two", "three"):
        customer.client.post(CREATE, {"name": name}, content_type="application/json")
    Instance.objects.update(status="running")
    Operation.objects.all().delete()
    return customer, Instance.objects.first().pk


# Admission is one of them everywhere.
QUERIES = {
    "whoami": (1, "GET", "/whoami", {}),
    "list": (2, "GET", "/instances", {}),
    "get": (2, "GET", "/instances/{id}", {}),
    "operations": (3, "GET", "/instances/{id}/operations", {}),
    "credentials": (2, "GET", "/instances/{id}/credentials", {}),
    # the audit entry
    "reveal": (3, "POST", "/instances/{id}/credentials/reveal", {}),
    # savepoint in, out; the account's row and count; node, its row, slot; instance, audit entry, operation, event
    "create": (12, "POST", "/instances", {"data": {"name": "four"}, "content_type": "application/json"}),
    # savepoint in, out; the change and what it made; the audit entry; the open operation's end, the new one, the event
    "restart": (10, "POST", "/instances/{id}/restart", {}),
    "rotate": (10, "POST", "/instances/{id}/credentials/rotate", {}),
    "delete": (10, "DELETE", "/instances/{id}", {}),
}


@pytest.mark.parametrize("number, method, path, body", QUERIES.values(), ids=QUERIES.keys())
def test_queries(running, django_assert_num_queries, number, method, path, body):
    customer, id = running
    with django_assert_num_queries(number):
        answer = getattr(customer.client, method.lower())("/api/v1" + path.format(id=id), **body)
    assert answer.status_code < 300
