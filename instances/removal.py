"""Takes a node out of the fleet, with what it had."""

from django.db import transaction
from django.utils import timezone

from instances import lifecycle, placement
from instances.models import Event, Instance
from instances.states import Status
from nodes.models import Node


class NodeHasInstances(Exception):
    """Databases are on it, or may still be: a deleted one whose node has not confirmed."""


@transaction.atomic
def remove(node: Node, *, write_off: bool) -> int:
    """Forgets the node; returns how many databases were written off. Raises NodeHasInstances without `write_off`.

    A written-off database is gone for its customer at once, with its keys: the machine is lost, or to be erased.
    """
    Node.objects.select_for_update().get(pk=node.pk)
    held = list(Instance.objects.filter(node=node).exclude(slot=None))
    if held and not write_off:
        raise NodeHasInstances(
            f"{node} holds {len(held)} databases. Delete them first, or give --write-off if the machine is lost."
        )
    for instance in held:
        give_up(instance)
    # What is left are deleted databases, whose history names the node.
    Instance.objects.filter(node=node).delete()
    node.delete()
    return len(held)


def give_up(instance: Instance) -> None:
    now = timezone.now()
    lifecycle.supersede(instance, now)
    if instance.status != Status.DELETED:
        lifecycle.transition(instance, Status.DELETED, verb="a write-off", deleted_at=now)
        Event.objects.create(instance=instance, status=Status.DELETED, text="Its node was written off.")
    placement.release(instance.pk)
