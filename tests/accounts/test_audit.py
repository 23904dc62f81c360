"""The audit trail: every change by a verb is in it with who, what and from where; nothing takes it back."""

import json
from io import StringIO
from ipaddress import ip_network

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from accounts import actors, origins, registry, tokens
from accounts.actors import SYSTEM, Actor
from accounts.models import AuditEntry
from billing import plans
from instances import lifecycle
from instances.models import Instance, Operation
from instances.removal import remove
from nodes import intents
from nodes.models import Node
from nodes.states import Intent
from tests import factories

pytestmark = pytest.mark.django_db
INSTANCES = "/api/v1/instances"


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


@pytest.fixture
def customer():
    factories.node()
    customer = factories.customer(databases=5)
    customer.client.post(INSTANCES, {"name": "db"}, content_type="application/json")
    Instance.objects.update(status="running")
    return customer


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditentry SET actor_label = 'nobody'",
        "UPDATE accounts_auditentry SET actor_label = 'nobody' WHERE false",
        "DELETE FROM accounts_auditentry",
        "TRUNCATE accounts_auditentry",
        "TRUNCATE accounts_auditentry CASCADE",
    ],
)
def test_no_statement_takes_an_entry_back(customer, statement):
    before = list(AuditEntry.objects.values())
    assert before
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_auditentry ENABLE TRIGGER accounts_audit_no_truncate")
        with pytest.raises(DatabaseError, match="only be added to"), transaction.atomic():
            cursor.execute(statement)
    assert list(AuditEntry.objects.values()) == before


def test_what_a_customer_asks_for_is_written_down_with_its_token_and_where_it_came_from(customer):
    id = customer.account.instances.get().pk
    already = AuditEntry.objects.count()
    for method, path in [
        ("post", f"{INSTANCES}/{id}/restart"),
        ("post", f"{INSTANCES}/{id}/credentials/reveal"),
        ("delete", f"{INSTANCES}/{id}"),
    ]:
        getattr(customer.client, method)(path, headers={"X-Request-Id": "one"}, REMOTE_ADDR="198.51.100.7")
    entries = AuditEntry.objects.order_by("id")[already:]
    assert [entry.action for entry in entries] == ["instance.restart", "instance.reveal", "instance.delete"]
    for entry in entries:
        assert (entry.actor_kind, entry.actor_label) == ("token", customer.token.prefix)
        assert entry.token_id == customer.token.pk
        assert (entry.address, entry.request_id) == ("198.51.100.7", "one")
        assert (entry.subject_type, entry.subject_id) == ("instances.instance", str(id))
        assert entry.account_id == customer.account.pk


def test_reading_writes_nothing_down(customer):
    id = customer.account.instances.get().pk
    before = actions()
    for path in ("/api/v1/whoami", INSTANCES, f"{INSTANCES}/{id}", f"{INSTANCES}/{id}/credentials"):
        assert customer.client.get(path).status_code == 200
    assert actions() == before


def test_what_was_refused_is_not_written_down_as_done(customer):
    Instance.objects.update(status="pending")
    before = actions()
    instance = customer.account.instances.get()
    assert customer.client.post(f"{INSTANCES}/{instance.pk}/restart").status_code == 409
    assert actions() == before


def test_an_operation_says_who_asked_whoever_it_was(customer, rf, django_user_model):
    request = rf.post("/", REMOTE_ADDR="192.0.2.9")
    request.user = django_user_model.objects.create_superuser("ops@example.com", "x")
    lifecycle.restart(customer.account.instances.get(), by=actors.user(request))
    Instance.objects.update(status="running")
    lifecycle.recover(customer.account.instances.get(), found="it is gone")
    said = Operation.objects.order_by("created_at").values_list("asked_by", flat=True)
    assert list(said) == [customer.token.prefix, "ops@example.com", "BaseKV"]


def test_an_actor_travels_to_the_worker_and_is_the_same_there(customer, rf):
    actor = actors.token(rf.get("/", REMOTE_ADDR="192.0.2.9"), token_id=customer.token.pk, prefix=customer.token.prefix)
    for each in (actor, SYSTEM, actors.command()):
        assert Actor.unpacked(json.loads(json.dumps(each.packed()))) == each


def test_no_secret_is_in_it(customer):
    instance = customer.account.instances.get()
    passwords = [lifecycle.password(instance), lifecycle.rotate(instance, by=SYSTEM)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT e::text FROM accounts_auditentry e")
        text = "\n".join(row[0] for row in cursor.fetchall())
    assert customer.token.prefix in text
    for secret in (*passwords, customer.secret[12:], "gAAAA"):
        assert secret not in text


def test_each_verb_of_an_operator_is_written_down_once_and_only_when_it_changed_something():
    node = factories.node(intent=Intent.ACTIVE)
    start = AuditEntry.objects.count()
    small = plans.set_limits("s", dict.fromkeys(plans.LIMITS, 1), by=SYSTEM)
    large = plans.set_limits("l", dict.fromkeys(plans.LIMITS, 9), by=SYSTEM)
    account = plans.open_account("Acme", small, by=SYSTEM)
    agent = registry.service_account(account, "agent", by=SYSTEM)
    token, _ = tokens.issue(agent, scopes=["db.instances.read"], by=SYSTEM)
    for _ in range(2):  # the second time, there is nothing left to do
        plans.subscribe(account, large, by=SYSTEM)
        registry.service_account(account, "agent", by=SYSTEM)
        tokens.revoke(token.prefix, by=SYSTEM)
        registry.disable(agent, by=SYSTEM)
        registry.suspend(account, by=SYSTEM)
        intents.want(node, Intent.DRAINING, by=SYSTEM)
    registry.enable(agent, by=SYSTEM)
    registry.resume(account, by=SYSTEM)
    plans.unsubscribe(account, by=SYSTEM)
    remove(node, write_off=False, by=SYSTEM)
    assert actions()[start:] == [
        "plan.create", "plan.create", "account.create", "account.subscribe", "service_account.create", "token.issue",
        "account.subscribe", "token.revoke", "service_account.disable", "account.suspend", "node.drain",
        "service_account.enable", "account.resume", "account.unsubscribe", "node.remove",
    ]  # fmt: skip
    changed = AuditEntry.objects.filter(action="account.subscribe").first().changes
    assert changed == {"plan": ["s", "l"]}


def test_a_node_written_off_says_whose_databases_went_with_it(customer):
    remove(Node.objects.get(), write_off=True, by=SYSTEM)
    lost = AuditEntry.objects.get(action="instance.lose")
    assert (lost.account_id, lost.subject_label[:3]) == (customer.account.pk, "db ")
    assert AuditEntry.objects.get(action="node.write_off").changes["lost"] == [None, 1]


def test_the_trail_outlives_the_account_that_it_is_about():
    account = factories.customer().account
    id = account.pk
    account.delete()
    assert AuditEntry.objects.filter(account_id=id, action="account.create").exists()


def test_a_command_is_written_down_with_whoever_ran_it(monkeypatch):
    monkeypatch.setenv("SUDO_USER", "alice")
    call_command("seed_plans", stdout=StringIO())
    out = StringIO()
    call_command("create_account", "Acme", "--plan=free", "--json", stdout=out)
    entry = AuditEntry.objects.get(action="account.create")
    assert entry.actor_kind == "command"
    assert entry.actor_label.startswith("alice as ")
    assert str(entry.account_id) == json.loads(out.getvalue())["id"]


class TestAddress:
    """Whom the trail and the throttle take for the client."""

    def address(self, rf, peer, forwarded=None):
        headers = {"X-Forwarded-For": forwarded} if forwarded else {}
        request = rf.get("/", REMOTE_ADDR=peer, headers=headers)
        return origins.address(request)

    def test_nobody_is_believed_by_default(self, rf):
        assert self.address(rf, "203.0.113.5", "198.51.100.1") == "203.0.113.5"

    @pytest.mark.parametrize(
        "peer, forwarded, client",
        [
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),  # the client wrote the first one
            ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "nonsense", "10.0.0.1"),
            ("10.0.0.1", None, "10.0.0.1"),
            ("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1"),
            ("203.0.113.5", "198.51.100.1", "203.0.113.5"),
            ("", None, None),
        ],
    )
    def test_a_proxy_of_ours_is_believed_for_its_own_hop(self, rf, settings, peer, forwarded, client):
        settings.BASEKV_TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]
        assert self.address(rf, peer, forwarded) == client


class TestConsole:
    @pytest.fixture
    def boss(self, client, django_user_model):
        client.force_login(django_user_model.objects.create_superuser("boss@example.com", "x"))
        return client

    def test_what_a_form_changes_is_written_down_with_what_it_was(self, boss):
        account = factories.customer().account
        before = account.name
        answer = boss.post(f"/admin/accounts/account/{account.pk}/change/", {"name": "Initech"})
        assert answer.status_code == 302, answer.context["adminform"].form.errors
        entry = AuditEntry.objects.get(action="account.change")
        assert (entry.actor_kind, entry.actor_label) == ("user", "boss@example.com")
        assert entry.changes == {"name": [before, "Initech"]}

    def test_somebody_added_and_deleted_is_written_down_without_their_password(self, boss, django_user_model):
        password = "a long enough one 9"
        boss.post("/admin/accounts/user/add/", {"email": "N@Example.com", "password1": password, "password2": password})
        new = django_user_model.objects.get(email="n@example.com")
        page = f"/admin/accounts/user/{new.pk}"
        boss.post(f"{page}/password/", {"password1": password + "1", "password2": password + "1"})
        boss.post(f"{page}/delete/", {"post": "yes"})
        assert actions() == ["user.create", "user.change_password", "user.delete"]
        assert password not in str(list(AuditEntry.objects.values()))

    def test_another_role_is_written_down_with_the_one_before(self, boss, django_user_model):
        person = django_user_model.objects.create_user("p@example.com", "x", is_staff=True)
        person.groups.set([Group.objects.get(name="support")])
        form = {"email": "p@example.com", "is_active": "on", "is_staff": "on", "date_joined_0": "2026-01-01"}
        form |= {"date_joined_1": "00:00:00", "groups": [Group.objects.get(name="operator").pk]}
        answer = boss.post(f"/admin/accounts/user/{person.pk}/change/", form)
        assert answer.status_code == 302, answer.context["adminform"].form.errors
        assert AuditEntry.objects.get(action="user.change").changes["groups"] == [["support"], ["operator"]]

    @pytest.mark.parametrize("role, sees", [("auditor", 200), ("operator", 200), ("support", 403), ("billing", 403)])
    def test_the_trail_is_seen_by_those_who_may_and_changed_by_nobody(self, client, django_user_model, role, sees):
        entry = AuditEntry.objects.create(actor_kind="system", actor_label="BaseKV", action="node.drain")
        person = django_user_model.objects.create_user("p@example.com", "x", is_staff=True)
        person.groups.set([Group.objects.get(name=role)])
        client.force_login(person)
        trail = "/admin/accounts/auditentry/"
        assert client.get(f"{trail}?q=node.drain").status_code == sees
        assert client.get(f"{trail}{entry.pk}/change/").status_code == sees
        for page in ("add/", f"{entry.pk}/delete/"):
            assert client.post(trail + page, {"post": "yes"}).status_code == 403
        assert client.get("/admin/accounts/user/").status_code == 403, "people are for superusers"
        assert client.post(f"/admin/accounts/user/{person.pk}/change/", {"is_superuser": "on"}).status_code == 403
        assert client.get("/admin/auth/group/").status_code == 404
