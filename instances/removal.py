"""Takes a node out of the fleet for good."""

from dataclasses import dataclass

from django.db import transaction

from accounts import audit
from accounts.actors import Actor
from instances.models import Instance
from nodes.models import Node


class NodeInUse(Exception):
    """The message is for the operator."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A database that went with its node."""

    instance_id: str
    name: str
    account: str


@transaction.atomic
def remove(node: Node, *, write_off: bool, by: Actor) -> list[Lost]:
    """Forgets the node, with the rows of the databases that were once on it.

    Those that still are on it are lost, and returned; without `write_off` they keep the node. Raises NodeInUse.
    """
    Node.objects.select_for_update().get(pk=node.pk)  # nothing is placed on it any more
    held = Instance.objects.filter(node=node, slot__isnull=False).select_related("account")
    lost = [Lost(str(instance.pk), instance.name, instance.account.name) for instance in held]
    if lost and not write_off:
        raise NodeInUse(
            f"{node} still has {len(lost)} databases. Delete them first; or, if the machine and their data are gone "
            "for good, say --write-off."
        )
    for instance in held:
        audit.record(actor=by, action="instance.lose", subject=instance, account=instance.account_id)
    action, after = ("node.write_off", {"lost": len(lost)}) if write_off else ("node.remove", {})
    audit.record(actor=by, action=action, subject=node, before={"host": node.host}, after=after)
    Instance.objects.filter(node=node).delete()
    node.delete()
    return lost
