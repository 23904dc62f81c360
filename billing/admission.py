"""Admission: who is it, may it, count it. One statement, one round trip; the SQL is sql/admit.sql."""

import uuid
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from django.db import connection

from accounts.tokens import Presented


class Outcome(StrEnum):
    EXPIRED = "expired"
    REVOKED = "revoked"
    DISABLED = "disabled"
    SUSPENDED = "suspended"
    SCOPE = "scope"
    UNSUBSCRIBED = "unsubscribed"
    QUOTA = "quota"
    ADMITTED = "admitted"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, with which limits, and what the account has used today (this request included, if it counts)."""

    outcome: Outcome
    token_id: uuid.UUID
    token_prefix: str
    scopes: list[str]
    service_account_id: uuid.UUID
    account_id: uuid.UUID
    plan_slug: str
    plan_name: str
    max_databases: int | None
    max_storage_mb: int | None
    max_requests_per_day: int | None
    used: int
    usage_day: date
    seconds_left: int


def admit(presented: Presented, *, scope: str | None, counted: bool) -> Caller | None:
    """The caller, whose `outcome` says whether it may go on; None for a token that is not ours.

    `used` and the limit are exact at any number of callers: the count is taken by a conditional upsert.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM billing_admit(%s, %s, %s, %s)",
            [presented.prefix, presented.digest, scope, counted],
        )
        row = cursor.fetchone()
    return Caller(Outcome(row[0]), *row[1:]) if row else None
