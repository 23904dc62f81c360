"""What can be wrong with the fleet, and what to do about it: one row of a table, and one query, for each kind of alert.

Each row says what is wrong now, and nothing of what was: instances/alerts.py compares it with the open alerts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Min, OuterRef, Q, QuerySet, Subquery, Sum

from instances.models import Instance, Operation, Orphan
from instances.placement import ENGINE_OVERHEAD_MB
from instances.states import Kind, Severity, Status
from nodes.models import Node, Region
from nodes.states import Health, Intent

# A deletion has no deadline. On a node that answers, one takes seconds.
DELETION_EXPECTED = timedelta(minutes=10)
# More than probes and certificates bear; what is measured includes the way of the probe.
CLOCK_TOLERANCE = 5.0  # seconds
NEARLY_FULL = 0.9


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that is wrong now."""

    kind: str
    severity: Severity
    subject_type: str
    subject_id: str
    subject_label: str
    text: str
    what_to_do: str


@dataclass(frozen=True, slots=True)
class Condition:
    kind: str
    severity: Severity
    subject_type: str
    wrong: Callable[[datetime], Iterable[Any]]  # one query; a row for each that is wrong
    text: Callable[[Any], str]
    what_to_do: str

    def sightings(self, now: datetime) -> list[Sighting]:
        return [
            Sighting(
                self.kind,
                self.severity,
                self.subject_type,
                str(row.pk),
                str(row)[:300],
                self.text(row),
                self.what_to_do,
            )
            for row in self.wrong(now)
        ]


# --- The queries --------------------------------------------------------------------------------------------------


def watched(health: Health) -> QuerySet[Node]:
    """Nodes of this health that should be online. A changed host key has an alert of its own."""
    nodes = Node.objects.filter(health=health, host_key_seen="").exclude(intent=Intent.DISABLED)
    return nodes.exclude(activated_at=None)


# What is open is neither done nor given up nor replaced. What is late should have been one of these by now: the alerts,
# the metric and the console mean the same by it.
OPEN = Q(finished_at=None)


def is_late(now: datetime) -> Q:
    return is_past_its_deadline(now) | is_late_deletion(now)


def is_past_its_deadline(now: datetime) -> Q:
    return OPEN & Q(deadline__lt=now)


def is_late_deletion(now: datetime, of: str = "") -> Q:
    """`of` leads to the operation."""
    late = {"kind": Kind.DEPROVISION, "finished_at": None, "created_at__lt": now - DELETION_EXPECTED}
    return Q(**{f"{of}{name}": value for name, value in late.items()})


def late(now: datetime) -> QuerySet[Operation]:
    return Operation.objects.select_related("instance__node").filter(is_past_its_deadline(now))


def with_late_deletions(now: datetime) -> QuerySet[Node]:
    return Node.objects.filter(is_late_deletion(now, "instances__operations__")).annotate(
        late=Count("instances__operations"), oldest=Min("instances__operations__created_at")
    )


def failed() -> QuerySet[Instance]:
    last = Operation.objects.filter(instance=OuterRef("pk")).order_by("-created_at")
    instances = Instance.objects.filter(status=Status.FAILED).select_related("node", "account")
    return instances.annotate(why=Subquery(last.values("error")[:1]))


def regions(which: Q) -> QuerySet[Region]:
    active = Q(nodes__intent=Intent.ACTIVE)
    room = active & Q(
        nodes__health=Health.ONLINE,
        nodes__slots_used__lt=F("nodes__slots"),
        nodes__reserved_mb__lte=F("nodes__capacity_mb") - F("nodes__default_storage_mb") - ENGINE_OVERHEAD_MB,
    )
    return Region.objects.annotate(
        with_room=Count("nodes", filter=room),
        active=Count("nodes", filter=active),
        reserved=Sum("nodes__reserved_mb", filter=active, default=0),
        capacity=Sum("nodes__capacity_mb", filter=active, default=0),
        slots_used=Sum("nodes__slots_used", filter=active, default=0),
        slots=Sum("nodes__slots", filter=active, default=0),
    ).filter(which)


def nearly_full() -> QuerySet[Region]:
    over = Q(reserved__gt=F("capacity") * NEARLY_FULL) | Q(slots_used__gt=F("slots") * NEARLY_FULL)
    return regions(over & Q(with_room__gt=0))


# --- The table ----------------------------------------------------------------------------------------------------


def at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "its enrolment"


CONDITIONS = [
    Condition(
        kind="operation_late",
        severity=Severity.WARNING,
        subject_type="operation",
        wrong=late,
        text=lambda operation: (
            f"The {operation.kind} of {operation.instance} on {operation.instance.node} should have been done, or have "
            f"failed, by {at(operation.deadline)}. Attempts: {operation.attempts}. "
            f"Last error: {operation.error or 'none'}"
        ),
        what_to_do="If there are many of these, the workers do not run or do not keep up: look at their processes and "
        "logs, and start more. If it is one, its last error and the alerts of its node say why. It is tried, and then "
        "given up, without you as soon as a worker gets to it.",
    ),
    Condition(
        kind="deletions_late",
        severity=Severity.WARNING,
        subject_type="node",
        wrong=with_late_deletions,
        text=lambda node: (
            f"Deletions that {node} ({node.health}) has not confirmed within "
            f"{DELETION_EXPECTED.seconds // 60} minutes: {node.late}. The oldest was asked for at {at(node.oldest)}. "
            "Their memory and ports stay reserved."
        ),
        what_to_do="If the node is not online, bring it back: the deletions are carried out by themselves. If it is "
        "gone for good, `manage.py remove_node --write-off`. If it is online, the errors of these operations say why "
        "it refuses.",
    ),
    Condition(
        kind="instance_failed",
        severity=Severity.CRITICAL,
        subject_type="instance",
        wrong=lambda _: failed(),
        text=lambda instance: (
            f"{instance} of {instance.account} on {instance.node} is failed since {at(instance.updated_at)}: "
            f"{instance.why or 'its operation left no error'}"
        ),
        what_to_do="Mend what the error names, most often on the node; then restart the instance, through the API or "
        "the console. It stays failed until somebody does.",
    ),
    Condition(
        kind="node_stale",
        severity=Severity.WARNING,
        subject_type="node",
        wrong=lambda _: watched(Health.STALE),
        text=lambda node: f"{node} was last seen at {at(node.seen_at)}. {node.last_error}".strip(),
        what_to_do="Wait a minute: it comes back, or is offline then. No new databases are placed on it meanwhile.",
    ),
    Condition(
        kind="node_offline",
        severity=Severity.CRITICAL,
        subject_type="node",
        wrong=lambda _: watched(Health.OFFLINE),
        text=lambda node: (
            f"{node} with {node.slots_used} databases was last seen at {at(node.seen_at)}. {node.last_error}".strip()
        ),
        what_to_do="Mend the machine or the way to it: its databases come back by themselves. `manage.py check_node` "
        "says what the node lacks. If it is meant to be off, `manage.py disable_node` ends this alert; if it is gone "
        "for good, `manage.py remove_node --write-off`.",
    ),
    Condition(
        kind="host_key_changed",
        severity=Severity.CRITICAL,
        subject_type="node",
        wrong=lambda _: Node.objects.exclude(host_key_seen=""),
        text=lambda node: f"Somebody else answers at {node}'s address {node.ssh_host}. {node.last_error}".strip(),
        what_to_do="Find out who: nothing is sent there until the pinned key is shown again. Look at the machine by "
        "another way than SSH. If it was set up anew, `manage.py remove_node --write-off` and then `enroll_node`; if "
        "you do not know why the key is another, take it for an attack.",
    ),
    Condition(
        kind="clock_skew",
        severity=Severity.WARNING,
        subject_type="node",
        wrong=lambda _: Node.objects.filter(health=Health.ONLINE).filter(
            Q(clock_skew__gt=CLOCK_TOLERANCE) | Q(clock_skew__lt=-CLOCK_TOLERANCE)
        ),
        text=lambda node: (
            f"{node}'s clock is {abs(node.clock_skew):.0f} s {'ahead' if node.clock_skew > 0 else 'behind'}."
        ),
        what_to_do="Mend the time synchronisation there (`timedatectl`, `chronyc tracking`). If all nodes have this "
        "alert, the worker's clock is the one that is wrong. Keys with an expiry time expire too early or too late.",
    ),
    Condition(
        kind="agent_upgrade_failing",
        severity=Severity.WARNING,
        subject_type="node",
        wrong=lambda _: Node.objects.exclude(upgrade_error=""),
        text=lambda node: f"{node}'s agent cannot be upgraded: {node.upgrade_error}",
        what_to_do="The agent that is there goes on, and the upgrade is tried again by itself. `manage.py check_node` "
        "says what the node lacks; `manage.py upgrade_agents` with its name tries at once.",
    ),
    Condition(
        kind="orphan_quarantined",
        severity=Severity.WARNING,
        subject_type="orphan",
        wrong=lambda _: Orphan.objects.filter(erased_at=None).select_related("node"),
        text=lambda orphan: (
            f"{orphan.node} has the database {orphan.instance_id}, which nobody wants. Found at {at(orphan.found_at)}; "
            "it is stopped, and erased a day after it was."
        ),
        what_to_do="Nothing, if it is the remains of a deletion. If BaseKV's own database was restored from a backup, "
        "that is what is wrong: bring it up to date within the day, or stop the beat.",
    ),
    Condition(
        kind="region_full",
        severity=Severity.CRITICAL,
        subject_type="region",
        wrong=lambda _: regions(Q(with_room=0)),
        text=lambda region: (
            f"No node of {region} can take another database: of {region.active} active nodes, none is online with "
            "memory and a slot. Creates are answered with 503."
        ),
        what_to_do="Bring its nodes back if they are not online (`manage.py list_nodes`), activate one that is "
        "drained, or enrol another: `manage.py enroll_node`.",
    ),
    Condition(
        kind="region_nearly_full",
        severity=Severity.WARNING,
        subject_type="region",
        wrong=lambda _: nearly_full(),
        text=lambda region: (
            f"{region} has given away {region.reserved} of {region.capacity} MiB and {region.slots_used} of "
            f"{region.slots} slots of its active nodes."
        ),
        what_to_do="Enrol another node before it is full: `manage.py enroll_node`.",
    ),
]
