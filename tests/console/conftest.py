import uuid

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from accounts import registry, tokens
from accounts.actors import SYSTEM
from accounts.models import User
from instances import lifecycle
from instances.models import Alert, Instance, Orphan
from nodes.models import HealthSample
from tests import factories


@pytest.fixture
def signed_in(db):
    def client(email, **fields):
        user = User.objects.create_user(email, is_staff=True, **fields)  # a password takes long to hash
        found = Client()
        found.force_login(user)
        return found

    return client


@pytest.fixture
def superuser(signed_in):
    return signed_in("root@example.com", is_superuser=True)


@pytest.fixture
def has_role(signed_in):
    def client(role):
        found = signed_in(f"{role}@example.com")
        User.objects.get(email=f"{role}@example.com").groups.set([Group.objects.get(name=role)])
        return found

    return client


@pytest.fixture
def world(db):
    """One of everything, in every state that some button wants."""
    drained = factories.node(intent="draining")
    node = factories.node()
    customer, suspended = factories.customer(), factories.customer()
    registry.suspend(suspended.account, by=SYSTEM)
    made = [database(customer, name) for name in ("runs", "fails")]
    Instance.objects.filter(pk=made[0].pk).update(status="running")
    Instance.objects.filter(pk=made[1].pk).update(status="failed")
    disabled = registry.service_account(customer.account, "disabled", by=SYSTEM)
    tokens.issue(disabled, scopes=[], by=SYSTEM)
    registry.disable(disabled, by=SYSTEM)
    Orphan.objects.create(node=node, instance_id=uuid.uuid4(), generation=1)
    HealthSample.objects.create(node=node, at=timezone.now(), health="online", load=0.2, memory=0.4, disk=0.6)
    alert(drained)
    return customer


def alert(node):
    now = timezone.now()
    return Alert.objects.create(
        kind="node_offline",
        severity="critical",
        subject_type="node",
        subject_id=str(node.pk),
        subject_label=node.name,
        text=f"{node} is gone.",
        what_to_do="Bring it back.",
        opened_at=now,
        last_seen_at=now,
    )


def database(customer, name):
    return lifecycle.create(
        account_id=customer.account.pk,
        by=SYSTEM,
        max_databases=None,
        max_storage_mb=32,
        name=name,
        region=None,
        protocol="redis",
        log_level="info",
    )
