"""401, then 403, then 429, then what is wrong with the request itself: for every operation of the API."""

import uuid
from dataclasses import dataclass

import pytest
from django.utils import timezone

from accounts.models import ServiceAccount, Token
from billing.models import Subscription, Usage
from instances.models import Instance
from tests import factories

READ, WRITE = "db.instances.read", "db.instances.write"
NOBODYS = str(uuid.uuid4())


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    scope: str | None = None
    counted: bool = True
    needs_instance: bool = True

    def call(self, client, id=NOBODYS, **kwargs):
        return client.generic(self.method, "/api/v1" + self.path.format(id=id), **kwargs)


OPERATIONS = {
    "whoami": Operation("GET", "/whoami", needs_instance=False),
    "list": Operation("GET", "/instances", READ, needs_instance=False),
    "create": Operation("POST", "/instances", WRITE, needs_instance=False),
    "get": Operation("GET", "/instances/{id}", READ),
    "delete": Operation("DELETE", "/instances/{id}", WRITE),
    "restart": Operation("POST", "/instances/{id}/restart", WRITE),
    "operations": Operation("GET", "/instances/{id}/operations", READ),
    "credentials": Operation("GET", "/instances/{id}/credentials", READ, counted=False),
    "reveal": Operation("POST", "/instances/{id}/credentials/reveal", WRITE, counted=False),
    "rotate": Operation("POST", "/instances/{id}/credentials/rotate", WRITE, counted=False),
}
every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
pytestmark = pytest.mark.django_db


def revoke(customer):
    Token.objects.update(revoked_at=timezone.now())


def expire(customer):
    Token.objects.update(expires_at=timezone.now())


def disable(customer):
    ServiceAccount.objects.update(disabled_at=timezone.now())


def suspend(customer):
    customer.account.suspended_at = timezone.now()
    customer.account.save()


def unsubscribe(customer):
    Subscription.objects.update(ended_at=timezone.now())


def strip_scopes(customer):
    Token.objects.update(scopes=[])


def use_up(customer):
    Usage.objects.create(account=customer.account, day=timezone.now().date(), count=customer.plan.max_requests_per_day)


# Everything is wrong at first; each row mends the foremost fault, and the next one is what is answered.
LADDER = [
    (revoke, 401, "invalid_token"),
    (expire, 401, "invalid_token"),
    (disable, 401, "invalid_token"),
    (suspend, 403, "account_suspended"),
    (strip_scopes, 403, "missing_scope"),
    (unsubscribe, 403, "no_active_subscription"),
    (use_up, 429, "daily_quota_exceeded"),
]


@every_operation
@pytest.mark.parametrize("foremost", range(len(LADDER)), ids=[step[0].__name__ for step in LADDER])
def test_the_foremost_fault_is_the_one_that_is_answered(operation, foremost):
    customer = factories.customer(requests=5)
    for fault, _, _ in LADDER[foremost:]:
        fault(customer)
    fault, status, code = LADDER[foremost]
    if fault is strip_scopes and operation.scope is None:
        status, code = 403, "no_active_subscription"
    if fault is use_up and not operation.counted:
        status, code = 404, "not_found"
    refused = operation.call(customer.client)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    if code == "missing_scope":
        assert operation.scope in refused.json()["error"]
        assert refused.json()["scope"] == operation.scope
    assert ("WWW-Authenticate" in refused) == (status == 401)


@every_operation
@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer x", "Basic YTpi", "Bearer bkv_" + "0" * 46, "Bearer é", "bkv_x"],
)
def test_no_token_or_nonsense_is_a_401(operation, header):
    client = factories.client("x")
    client.defaults.pop("HTTP_AUTHORIZATION")
    headers = {} if header is None else {"Authorization": header}
    refused = operation.call(client, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")
    assert refused["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("operation", [o for o in OPERATIONS.values() if o.needs_instance], ids=lambda o: o.path)
class TestAnInstance:
    def test_whose_id_is_no_uuid_is_a_400(self, operation):
        refused = operation.call(factories.customer().client, "42")
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input")
        assert "id" in refused.json()["fields"]

    def test_that_nobody_has_is_a_404(self, operation):
        refused = operation.call(factories.customer().client)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")

    def test_of_another_account_is_a_404(self, operation):
        factories.node()
        owner, other = factories.customer(), factories.customer()
        id = owner.client.post("/api/v1/instances", {"name": "mine"}, content_type="application/json").json()["id"]
        refused = operation.call(other.client, id)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
        assert Instance.objects.get().status == "pending"

    def test_that_is_deleted_is_a_404(self, operation):
        factories.node()
        owner = factories.customer()
        id = owner.client.post("/api/v1/instances", {"name": "mine"}, content_type="application/json").json()["id"]
        assert owner.client.delete(f"/api/v1/instances/{id}?force=true").status_code == 200
        assert operation.call(owner.client, id).status_code == 404


def test_on_create_bad_input_comes_before_the_limit_and_the_limit_before_the_missing_node():
    customer = factories.customer(databases=0)
    post = lambda body: customer.client.post("/api/v1/instances", body, content_type="application/json")
    assert post({"name": ""}).status_code == 400
    assert post({"name": "ok"}).json()["code"] == "database_limit_reached"
    customer.plan.max_databases = 1
    customer.plan.save()
    assert post({"name": "ok"}).json()["code"] == "no_node_available"
