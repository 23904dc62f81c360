"""What must always be true of BaseKV's own database, and of the nodes beside it.

Every check reads one snapshot, and every change is one transaction: what is in motion is never seen half done, so the
checks may run beside everything else.
"""

from collections.abc import Iterator
from itertools import groupby

from django.db import connection, transaction

from instances import alerts, checks, orphans, reconcile, reencryption
from instances.checks import Finding
from instances.conditions import Sighting
from instances.models import Instance, Orphan
from instances.reencryption import State
from instances.states import Severity, Status
from nodes.models import Node
from nodes.states import Health

KIND = "invariant_broken"

UNREADABLE = (
    "secrets_are_readable",
    "None of BASEKV_ENCRYPTION_KEYS decrypts it. Put the missing key back, behind the first. If it is lost: rotate the "
    "password of an instance, `manage.py reset_two_factor` for a person.",
)
MISSING = (
    "nodes_have_what_is_wanted",
    "Nothing at first: the beat mends it within seconds. If it stays, look at the node, and at the instance's events.",
)
UNWANTED = (
    "nodes_have_nothing_else",
    "It is quarantined and erased by itself. If BaseKV's database was restored from a backup, that is what is wrong: "
    "bring it up to date within the day, or stop the beat.",
)
SILENT = ("nodes_answer", "Nobody knows what is on this node. Bring it back, and run this again.")


def check() -> list[Finding]:
    """All that is found in BaseKV's own database."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return list(findings())


def findings() -> Iterator[Finding]:
    """The same in the transaction that is there already."""
    yield from checks.findings()
    yield from unreadable_secrets()


def unreadable_secrets() -> Iterator[Finding]:
    name, what_to_do = UNREADABLE
    for model, field in reencryption.FIELDS:
        rows = model._default_manager.exclude(**{field: ""}).order_by("pk")
        if model is Instance:
            rows = rows.exclude(status=Status.DELETED)
        for pk, stored in rows.values_list("pk", field).iterator(chunk_size=1000):
            if reencryption.state_of(stored) is State.UNREADABLE:
                what = f"its {field} cannot be decrypted"
                yield Finding(name, False, str(model._meta.model_name), str(pk), what, what_to_do)


def on_nodes() -> Iterator[Finding]:
    """What the nodes reported last, compared with what is wanted of them."""
    for drift in reconcile.drift():
        instance = drift.instance
        yield Finding(MISSING[0], False, "instance", str(instance.pk), f"on {instance.node}: {drift.found}", MISSING[1])
    known = {(orphan.node_id, str(orphan.instance_id)) for orphan in Orphan.objects.filter(erased_at=None)}
    for stray in orphans.find():
        in_hand = (stray.node_id, str(stray.instance_id)) in known
        what = f"on {stray.node}: nobody wants it; {'in' if in_hand else 'not yet in'} quarantine"
        yield Finding(UNWANTED[0], in_hand, "instance", str(stray.instance_id), what, UNWANTED[1])
    for node in Node.objects.exclude(health=Health.ONLINE).exclude(activated_at=None):
        yield Finding(SILENT[0], True, "node", str(node.pk), f"{node} is {node.health}: {node.last_error}", SILENT[1])


def watch() -> None:
    """Checks, and makes one alert of each check that is broken."""
    broken = [finding for finding in check() if not finding.suspicious]
    seen = [alert(name, list(found)) for name, found in groupby(broken, key=lambda finding: finding.check)]
    alerts.compare("invariants", {KIND}, lambda _: seen)


def alert(name: str, found: list[Finding]) -> Sighting:
    first = found[0]
    text = f"{len(found)} found by {name}; the first is the {first.subject_type} {first.subject_id}: {first.what}"
    what_to_do = f"`manage.py audit_invariants` lists them all. {first.what_to_do}"
    return Sighting(KIND, Severity.CRITICAL, "invariant", name, name, text, what_to_do)
