"""What worker and beat do between them, once, in this process: probe, compare, carry out what is due."""

from django.utils import timezone

from instances import leases, provisioning, reconcile
from instances.models import Operation
from nodes import health
from nodes.models import Node


def carry_out_what_is_due() -> None:
    for operation in Operation.objects.filter(leases.due()).order_by("due_at"):
        provisioning.carry_out(operation.pk)


def beat() -> None:
    health.probe(list(Node.objects.all()))
    reconcile.reconcile()
    carry_out_what_is_due()


def settled() -> bool:
    """Nothing is left to do, after all that waits was told that its time has come."""
    Operation.objects.filter(finished_at=None).update(due_at=timezone.now())
    beat()
    return not Operation.objects.filter(finished_at=None).exists()
