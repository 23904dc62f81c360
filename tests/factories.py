"""What tests start from: accounts with limits of their own, tokens, nodes."""

import itertools
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.test import Client
from django.utils import timezone

from accounts import registry, tokens
from accounts.actors import SYSTEM
from accounts.models import Account, Token
from accounts.scopes import Scope
from billing import plans
from billing.models import Plan
from nodes.models import Node, Region
from nodes.states import Health, Intent

numbers = itertools.count(1)


@dataclass
class Customer:
    """An account with a token, and a client that sends it."""

    account: Account
    plan: Plan
    token: Token
    secret: str
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = client(self.secret)


def client(secret: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {secret}"}, raise_request_exception=False)


def customer(
    *,
    databases: int | None = None,
    storage_mb: int | None = 32,
    requests: int | None = None,
    scopes: list[str] | None = None,
    expires_at: datetime | None = None,
) -> Customer:
    number = next(numbers)
    plan = plans.set_limits(
        f"plan-{number}",
        {"max_databases": databases, "max_storage_mb": storage_mb, "max_requests_per_day": requests},
        by=SYSTEM,
    )
    account = plans.open_account(f"account-{number}", plan, by=SYSTEM)
    token, secret = tokens.issue(
        registry.service_account(account, "agent", by=SYSTEM),
        scopes=Scope.values if scopes is None else scopes,
        expires_at=expires_at,
        by=SYSTEM,
    )
    return Customer(account, plan, token, secret)


def node(**changes: Any) -> Node:
    region, _ = Region.objects.get_or_create(slug=changes.pop("region", "local"), defaults={"name": "Local"})
    number = next(numbers)
    fields: dict[str, Any] = {
        "name": f"node-{number}",
        "host": "db.example.com",
        "ssh_host": "192.0.2.1",
        "ssh_user": "basekv",
        "host_key": "ssh-ed25519 AAAA",
        "intent": Intent.ACTIVE,
        "health": Health.ONLINE,
        "seen_at": timezone.now(),
        "engines": ["valkey"],
        "capacity_mb": 100_000,
        "slots": 1000,
    }
    return Node.objects.create(region=region, **{**fields, **changes})
