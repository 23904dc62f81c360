"""The worker's doors. A task may be lost, late or doubled; the operation's row decides what is done."""

import uuid

from celery import shared_task
from django.utils import timezone

from instances import alerts, idempotency, invariants, lifecycle, orphans, provisioning
from instances import reconcile as reconciliation
from instances.models import Operation

SWEPT_AT_ONCE = 200


@shared_task(name="instances.converge")
def converge(operation_id: str) -> None:
    provisioning.carry_out(uuid.UUID(operation_id))


@shared_task(name="instances.sweep")
def sweep() -> None:
    """Wakes a worker for every operation that is due, whatever became of its own message."""
    due = Operation.objects.filter(provisioning.due(timezone.now())).order_by("due_at")
    for operation_id in due.values_list("pk", flat=True)[:SWEPT_AT_ONCE]:
        lifecycle.wake(operation_id)


@shared_task(name="instances.reconcile")
def reconcile() -> None:
    reconciliation.reconcile()


@shared_task(name="instances.deal_with_orphans")
def deal_with_orphans() -> None:
    orphans.quarantine(orphans.find())
    orphans.erase()


@shared_task(name="instances.forget_idempotency_keys")
def forget_idempotency_keys() -> None:
    idempotency.forget()


@shared_task(name="instances.refresh_alerts")
def refresh_alerts() -> None:
    alerts.refresh()


@shared_task(name="instances.forget_alerts")
def forget_alerts() -> None:
    alerts.forget()


@shared_task(name="instances.watch_invariants")
def watch_invariants() -> None:
    invariants.watch()
