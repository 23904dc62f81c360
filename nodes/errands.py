"""What the console asks of a node. The web process never opens SSH: it writes an errand down, and a worker runs it
(nodes/running_errands.py)."""

import uuid
from datetime import timedelta

from celery import signature
from django.db import transaction

from accounts import audit
from accounts.actors import Actor
from accounts.clock import Now, now
from nodes.models import Errand, Node
from nodes.states import ErrandKind

KEPT = timedelta(days=1)
# Whoever asked does not wait for longer; what no worker took until then is not done behind their back later.
PATIENCE = timedelta(seconds=60)


@transaction.atomic
def ask(node: Node, kind: ErrandKind, *, by: Actor, instance_id: uuid.UUID | None = None) -> Errand:
    """Wakes a worker after commit. `instance_id`: whose log, for a LOG."""
    errand = Errand.objects.create(node=node, kind=kind, instance_id=instance_id, asked_by=by.label)
    if kind is ErrandKind.LOG:  # a read of what is a customer's, so it is written down
        audit.record(actor=by, action="instance.see_log", subject=node, after={"instance": instance_id})
    arguments = (str(errand.pk), by.packed())
    wake = signature("nodes.run_errand", args=arguments)
    transaction.on_commit(wake.delay, robust=True)
    return errand


def latest(node: Node, kinds: list[ErrandKind], instance_id: uuid.UUID | None = None) -> Errand | None:
    """The last one of these kinds that somebody may still want to see."""
    recent = Errand.objects.filter(node=node, kind__in=kinds, instance_id=instance_id)
    return recent.filter(asked_at__gt=Now() - PATIENCE * 10).first()


def is_waited_for(errand: Errand) -> bool:
    return errand.finished_at is None and now() - errand.asked_at < PATIENCE


def forget() -> int:
    """Removes what is older than KEPT; returns how much that was."""
    return Errand.objects.filter(asked_at__lt=Now() - KEPT).delete()[0]
