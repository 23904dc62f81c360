"""The worker's doors. A task may be lost, late or doubled; the operation's row decides what is done."""

from celery import shared_task
from celery.worker import state

from instances import alerts, idempotency, invariants, leases, orphans, provisioning, wakeups
from instances import reconcile as reconciliation
from instances.models import Operation

# Each worker that is woken goes on until nothing is left, so more would find nothing.
WOKEN_AT_ONCE = 32


@shared_task(name="instances.converge")
def converge(_: str) -> None:
    """A wake-up. It names an operation; what is carried out is the one whose turn it is, then the next, until there is
    none, or the worker is to end."""
    while provisioning.carry_out() and state.should_stop is None:
        pass


@shared_task(name="instances.sweep")
def sweep() -> None:
    """Wakes workers while anything is due, whatever became of its own message. What busy workers leave does not pile
    up."""
    due = Operation.objects.filter(leases.due()).order_by("due_at")
    for operation_id in due.values_list("pk", flat=True)[: max(WOKEN_AT_ONCE - wakeups.waiting(), 0)]:
        wakeups.wake(operation_id)


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
