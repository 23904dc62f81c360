"""Alerts: what is wrong now (instances/conditions.py) compared with the alerts that are open, again and again.

Nobody raises an alert: it opens because the comparison finds its cause, and is resolved because it finds it no more.
A lost run costs a moment, and no alert stays because somebody forgot to take it back.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import audit
from accounts.actors import Actor
from instances.conditions import CONDITIONS, Sighting
from instances.models import Alert, Heartbeat

KEPT = timedelta(days=90)
# The name of the heartbeat, and how old it is when the alerts are no longer to be trusted: the beat runs every 15 s.
HEARTBEAT = "alerts"
SILENT_AFTER = timedelta(minutes=2)

# Any number that nobody else uses.
LOCK = 0x616C6572

OPEN_OR_REFRESH = """
    INSERT INTO instances_alert (kind, severity, subject_type, subject_id, subject_label, text, what_to_do,
                                 opened_at, last_seen_at, acknowledged_by)
    SELECT s.*, %(now)s, %(now)s, ''
      FROM jsonb_to_recordset(%(seen)s) AS s(kind text, severity text, subject_type text, subject_id text,
                                             subject_label text, text text, what_to_do text)
        ON CONFLICT (kind, subject_id) WHERE resolved_at IS NULL
        DO UPDATE SET severity = excluded.severity, subject_label = excluded.subject_label, text = excluded.text,
                      what_to_do = excluded.what_to_do, last_seen_at = excluded.last_seen_at
"""


def open() -> QuerySet[Alert]:
    """What is wrong, the gravest and oldest first."""
    return Alert.objects.filter(resolved_at=None).order_by("severity", "opened_at", "id")


def checked_at() -> datetime | None:
    """When the comparison was last made. Long ago: the open alerts are old, and there may be others."""
    return Heartbeat.objects.filter(pk=HEARTBEAT).values_list("at", flat=True).first()


@transaction.atomic
def acknowledge(alert_id: int, *, by: Actor) -> bool:
    """Somebody has it in hand; it stays open until its cause is gone. False: it is resolved, or somebody has."""
    waiting = Alert.objects.filter(pk=alert_id, resolved_at=None, acknowledged_at=None)
    if not waiting.update(acknowledged_at=timezone.now(), acknowledged_by=audit.shortened(by.label)):
        return False
    alert = Alert.objects.get(pk=alert_id)
    audit.record(actor=by, action="alert.acknowledge", subject=alert, after={"acknowledged_by": by.label})
    return True


def refresh() -> None:
    """Compares all conditions with the open alerts."""
    kinds = {condition.kind for condition in CONDITIONS}
    compare(HEARTBEAT, kinds, lambda now: [found for condition in CONDITIONS for found in condition.sightings(now)])


@transaction.atomic
def compare(name: str, kinds: Collection[str], look: Callable[[datetime], Sequence[Sighting]]) -> None:
    """What `look` sees, with the open alerts of these kinds; unless another worker is just at the same."""
    if one_at_a_time(name):
        now = timezone.now()
        settle(kinds, look(now), now)
        Heartbeat.objects.update_or_create(pk=name, defaults={"at": now})


def one_at_a_time(name: str) -> bool:
    """Until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", [LOCK, name])
        return bool(cursor.fetchone()[0])


def settle(kinds: Collection[str], seen: Sequence[Sighting], now: datetime) -> None:
    """Makes the open alerts of these kinds equal to what was seen."""
    with connection.cursor() as cursor:
        cursor.execute(OPEN_OR_REFRESH, {"seen": json.dumps([asdict(sighting) for sighting in seen]), "now": now})
    Alert.objects.filter(resolved_at=None, kind__in=kinds, last_seen_at__lt=now).update(resolved_at=now)


def forget() -> int:
    """Erases what was resolved long ago; returns how many."""
    return Alert.objects.filter(resolved_at__lt=timezone.now() - KEPT).delete()[0]
