"""Create, list and delete as a customer sees them; limits that hold whatever comes at once."""

import json
import uuid
from collections import Counter
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from instances import idempotency
from instances.models import IdempotencyKey, Instance, Operation
from nodes.models import Node
from tests import factories
from tests.concurrency import at_once

CREATE = "/api/v1/instances"


def create(client, name="hello", key=None, **fields):
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(CREATE, {"name": name, **fields}, content_type="application/json", headers=headers)


@pytest.mark.django_db
def test_a_created_instance_is_in_the_list_with_all_that_the_contract_names():
    node = factories.node(region="eu", host="eu1.example.com", engines=["valkey", "webdis"])
    customer = factories.customer(storage_mb=48)
    created = create(customer.client, "  my db ", region="eu", log_level="debug").json()
    listed = customer.client.get(CREATE).json()
    [item] = listed["instances"]
    assert created == {
        "id": item["id"],
        "name": "my db",
        "status": "pending",
        "node_id": str(node.pk),
        "region": "eu",
        "protocol": "redis",
        "auth_required": True,
        "usage": created["usage"],
    }
    assert item == {
        "id": created["id"],
        "name": "my db",
        "status": "pending",
        "protocol": "redis",
        "region": "eu",
        "node_id": str(node.pk),
        "host": "eu1.example.com",
        "ports": {"redis": 20000, "memcached": None, "http": 20002},
        "auth_required": True,
        "log_level": "debug",
        "storage_mb": 48,
        "created_at": item["created_at"],
        "updated_at": item["updated_at"],
    }
    assert customer.client.get(f"{CREATE}/{item['id']}").json() == item
    assert listed["usage"]["current_count"] == 2
    assert listed["plan"]["limits"] == {"maxDatabases": None, "maxStorageMb": 48, "maxRequestsPerDay": None}


@pytest.mark.django_db
def test_pages_show_every_instance_once_even_when_some_are_made_in_between():
    factories.node()
    client = factories.customer().client
    made = [create(client, f"db {n}").json()["id"] for n in range(7)]
    seen, query = [], "limit=3"
    while query:
        page = client.get(f"{CREATE}?{query}").json()
        seen += [item["id"] for item in page["instances"]]
        query = page["next_cursor"] and f"limit=3&cursor={page['next_cursor']}"
        if len(seen) == 3:
            made.append(create(client, "late").json()["id"])
    assert seen == made
    assert [item["id"] for item in client.get(CREATE).json()["instances"]] == made
    assert "next_cursor" not in client.get(CREATE).json()


@pytest.mark.django_db
def test_a_tenant_sees_only_its_own():
    factories.node()
    one, other = factories.customer(), factories.customer()
    create(one.client)
    assert other.client.get(CREATE).json()["instances"] == []


@pytest.mark.django_db(transaction=True)
def test_of_fifty_creates_at_once_a_limit_of_3_lets_3_through():
    factories.node()
    customer = factories.customer(databases=3)
    answers = at_once([lambda: create(factories.client(customer.secret))] * 50)
    assert Counter(answer.status_code for answer in answers) == {201: 3, 429: 47}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 429} == {"database_limit_reached"}
    assert not any("Retry-After" in answer for answer in answers)
    assert Instance.objects.count() == 3
    assert Node.objects.get().slots_used == 3


@pytest.mark.django_db(transaction=True)
def test_two_nodes_are_filled_to_the_last_slot_and_never_beyond_by_many_accounts_at_once():
    small = factories.node(capacity_mb=10 * 48)  # 32 MiB of data and 16 of the engine's own, ten times
    few = factories.node(slots=5)
    customers = [factories.customer(storage_mb=32) for _ in range(30)]
    answers = at_once([lambda c=customer: create(factories.client(c.secret)) for customer in customers])
    assert Counter(answer.status_code for answer in answers) == {201: 15, 503: 15}
    for node, size in ((small, 10), (few, 5)):
        node.refresh_from_db()
        held = Instance.objects.filter(node=node)
        assert (node.slots_used, node.reserved_mb, held.count()) == (size, size * 48, size)
        assert len({instance.redis_port for instance in held}) == size


@pytest.mark.django_db
def test_a_refused_create_leaves_nothing_behind():
    node = factories.node(capacity_mb=40)
    customer = factories.customer(storage_mb=32)
    refused = create(customer.client, key="k")
    assert (refused.status_code, refused.json()["code"]) == (503, "no_node_available")
    node.refresh_from_db()
    assert (node.slots_used, node.reserved_mb) == (0, 0)
    assert not Instance.objects.exists()
    assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "changes",
    [
        {"intent": "draining"},
        {"intent": "disabled"},
        {"health": "stale"},
        {"health": "offline"},
        {"engines": ["memcached"]},
    ],
)
def test_a_node_that_cannot_take_it_is_not_given_it(changes):
    factories.node(**changes)
    assert create(factories.customer().client).status_code == 503


@pytest.mark.django_db
def test_the_least_loaded_node_of_the_region_is_taken():
    factories.node(region="us", capacity_mb=1_000_000)
    large, small = factories.node(region="eu", capacity_mb=10_000), factories.node(region="eu", capacity_mb=1_000)
    client = factories.customer().client
    taken = Counter(create(client, region="eu").json()["node_id"] for _ in range(11))
    assert taken == {str(large.pk): 10, str(small.pk): 1}


@pytest.mark.django_db
class TestDelete:
    @pytest.fixture
    def node(self):
        return factories.node()

    @pytest.fixture
    def client(self, node):
        return factories.customer().client

    def test_on_an_online_node_is_taken_and_again(self, client):
        id = create(client).json()["id"]
        for _ in range(2):
            answer = client.delete(f"{CREATE}/{id}")
            assert (answer.status_code, answer.json()["status"]) == (202, "deleting")
        assert Operation.objects.filter(kind="deprovision").count() == 1

    @pytest.mark.parametrize("health", ["stale", "offline"])
    def test_on_a_node_that_does_not_answer_is_done_at_once(self, client, node, health):
        id = create(client).json()["id"]
        Node.objects.update(health=health)
        answer = client.delete(f"{CREATE}/{id}")
        assert answer.status_code == 200
        assert (answer.json()["status"], answer.json()["mode"]) == ("deleted", "fallback")
        assert health in answer.json()["reason"]
        assert client.get(CREATE).json()["instances"] == []

    def test_by_force_is_done_at_once_also_of_one_that_is_being_deleted(self, client):
        id = create(client).json()["id"]
        client.delete(f"{CREATE}/{id}")
        answer = client.delete(f"{CREATE}/{id}?force=true")
        assert (answer.status_code, answer.json()["mode"]) == (200, "immediate")
        assert client.delete(f"{CREATE}/{id}?force=true").status_code == 404

    def test_keeps_ports_and_memory_until_the_node_has_confirmed(self, client, node):
        first = create(client).json()["id"]
        client.delete(f"{CREATE}/{first}?force=true")
        second = create(client).json()["id"]
        ports = dict(Instance.objects.values_list("pk", "redis_port"))
        assert ports[uuid.UUID(first)] != ports[uuid.UUID(second)]
        node.refresh_from_db()
        assert node.slots_used == 2

    def test_makes_room_under_the_accounts_limit_at_once_when_forced_and_not_while_deleting(self, node):
        client = factories.customer(databases=1).client
        id = create(client).json()["id"]
        client.delete(f"{CREATE}/{id}")
        assert create(client).status_code == 429
        client.delete(f"{CREATE}/{id}?force=true")
        assert create(client).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_restart_rotate_and_delete_at_once_end_in_one_legal_history():
    factories.node()
    customer = factories.customer()
    for _ in range(8):
        id = create(customer.client).json()["id"]
        Instance.objects.filter(pk=id).update(status="running")
        Operation.objects.filter(instance=id).update(state="succeeded", finished_at=timezone.now())
        path = f"{CREATE}/{id}"
        calls = [partial(factories.client(customer.secret).post, f"{path}/restart") for _ in range(3)]
        calls += [partial(factories.client(customer.secret).post, f"{path}/credentials/rotate") for _ in range(3)]
        calls += [partial(factories.client(customer.secret).delete, path) for _ in range(2)]
        statuses = [answer.status_code for answer in at_once(calls)]
        assert set(statuses) <= {202, 409}
        assert statuses[6:] == [202, 202]
        assert statuses[:6].count(202) <= 1
        instance = Instance.objects.get(pk=id)
        assert instance.status == "deleting"
        open_ones = instance.operations.filter(finished_at=None)
        assert [(o.kind, o.generation) for o in open_ones] == [("deprovision", instance.generation)]
        assert instance.generation == 2 + statuses[:6].count(202)


class TestIdempotencyKey:
    @pytest.mark.django_db
    def test_the_same_request_answers_the_same_body_and_makes_nothing(self):
        factories.node()
        client = factories.customer().client
        first, second = create(client, key="k 1"), create(client, key="k 1")
        assert second.content == first.content
        assert (second.status_code, second["Idempotent-Replayed"]) == (201, "true")
        assert "Idempotent-Replayed" not in first
        assert Instance.objects.count() == 1
        assert second["RateLimit"] if "RateLimit" in first else True

    @pytest.mark.django_db
    def test_spacing_and_order_do_not_make_another_body_and_a_field_does(self):
        factories.node()
        client = factories.customer().client
        send = lambda body: client.post(CREATE, body, content_type="application/json", headers={"Idempotency-Key": "k"})
        first = send(b'{"name":"ab","protocol":"redis"}')
        assert send(b'{ "protocol" : "redis", "name" : "ab" }').content == first.content
        refused = send(b'{"name":"ac","protocol":"redis"}')
        assert (refused.status_code, refused.json()["code"]) == (400, "idempotency_key_reused")

    @pytest.mark.django_db(transaction=True)
    def test_twins_at_once_make_one(self):
        factories.node()
        customer = factories.customer()
        answers = at_once([lambda: create(factories.client(customer.secret), key="twin")] * 20)
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
        assert sum("Idempotent-Replayed" in answer for answer in answers) == 19
        assert Instance.objects.count() == 1

    @pytest.mark.django_db
    def test_another_account_may_use_the_same_key(self):
        factories.node()
        one, other = factories.customer(), factories.customer()
        assert create(one.client, key="k").json()["id"] != create(other.client, key="k").json()["id"]

    @pytest.mark.django_db
    def test_a_replay_is_given_where_a_new_one_would_be_over_the_limit(self):
        factories.node()
        client = factories.customer(databases=1).client
        assert create(client, key="k").content == create(client, key="k").content
        assert create(client, key="l").status_code == 429

    @pytest.mark.django_db
    def test_after_a_failure_the_key_may_be_tried_again(self):
        client = factories.customer().client
        assert create(client, key="k").status_code == 503
        factories.node()
        answer = create(client, key="k")
        assert answer.status_code == 201
        assert "Idempotent-Replayed" not in answer

    @pytest.mark.django_db
    def test_after_a_day_it_is_a_new_key_and_old_ones_are_erased(self):
        factories.node()
        client = factories.customer().client
        first = create(client, key="k").json()["id"]
        IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
        assert create(client, "other", key="k").json()["id"] != first
        create(client, key="old")
        IdempotencyKey.objects.filter(key="old").update(created_at=timezone.now() - timedelta(hours=25))
        assert idempotency.forget() == 1
        assert IdempotencyKey.objects.get().key == "k"

    @pytest.mark.django_db
    @pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
    def test_a_key_that_is_not_printable_ascii_is_a_400(self, key):
        factories.node()
        refused = create(factories.customer().client, key=key)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input")

    @pytest.mark.django_db
    def test_nothing_secret_is_kept(self):
        factories.node()
        customer = factories.customer()
        id = create(customer.client, key="k").json()["id"]
        password = customer.client.post(f"{CREATE}/{id}/credentials/reveal").json()["password"]
        kept = bytes(IdempotencyKey.objects.get().response)
        assert json.loads(kept)["id"] == id
        assert password.encode() not in kept
