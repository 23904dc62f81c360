import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q

from accounts.clock import Now
from nodes.states import ErrandKind, Health, Intent, Supervisor

# A slot is this many neighbouring ports, so that one database's ports can be told from its slot.
PORTS_PER_SLOT = 3


class Region(models.Model):
    """A place that customers can choose."""

    slug = models.SlugField(primary_key=True, max_length=50)
    name = models.CharField(max_length=100)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class Node(models.Model):
    """A machine that hosts databases: where it is, how it is, and how much of it is given away."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.SlugField(max_length=63, unique=True)
    region = models.ForeignKey(Region, on_delete=models.PROTECT, related_name="nodes")
    host = models.CharField("name or address that customers connect to", max_length=253)

    ssh_host = models.CharField(max_length=253)
    ssh_port = models.PositiveIntegerField(default=22)
    ssh_user = models.CharField(max_length=32)
    host_key = models.TextField("pinned host key, an OpenSSH public key line")
    # Blank again as soon as the pinned one is seen.
    host_key_seen = models.TextField("the other key that it showed instead", blank=True, editable=False)
    supervisor = models.CharField(max_length=20, choices=Supervisor, default=Supervisor.SYSTEMD)

    intent = models.CharField(max_length=20, choices=Intent, default=Intent.DISABLED)
    health = models.CharField(max_length=20, choices=Health, default=Health.OFFLINE)
    seen_at = models.DateTimeField("last good probe", null=True, blank=True)
    online_since = models.DateTimeField(null=True, editable=False)
    # When the probe that gave `report` began, by our clock: what changed after it is not yet in it.
    reported_at = models.DateTimeField(null=True, blank=True)
    report = models.JSONField("the last good probe's answer", default=dict, blank=True)
    clock_skew = models.FloatField("how far its clock is ahead, s", null=True, editable=False)
    last_error = models.TextField(blank=True)
    agent_digest = models.CharField(max_length=64, blank=True)
    agent_release = models.PositiveIntegerField(
        "its agent's release; 0 before there were any", default=0, editable=False
    )
    engines = ArrayField(models.CharField(max_length=20), default=list, blank=True)

    # Kept by nodes.upgrades. A control plane with another Python packs the same release into another digest, so whether
    # an agent was changed on its node is seen from the digest that was installed, whoever did it.
    installed_digest = models.CharField(
        "of the agent that was installed last", max_length=64, blank=True, editable=False
    )
    upgrade_release = models.PositiveIntegerField("last tried to install", default=0, editable=False)
    upgrade_attempts = models.PositiveIntegerField(default=0, editable=False)
    upgrade_due_at = models.DateTimeField("not tried again before", null=True, editable=False)
    upgrade_error = models.TextField("why its agent could not be upgraded", blank=True, editable=False)

    # Kept by instances.placement, under the constraints below.
    capacity_mb = models.PositiveIntegerField("memory for databases, MiB")
    reserved_mb = models.PositiveIntegerField("memory given away, MiB", default=0, editable=False)
    slots = models.PositiveIntegerField("how many databases it can have", default=1000)
    slots_used = models.PositiveIntegerField(default=0, editable=False)
    first_port = models.PositiveIntegerField(default=20000)
    default_storage_mb = models.PositiveIntegerField("size of a database whose plan sets none, MiB", default=64)
    load = models.GeneratedField(
        expression=F("reserved_mb") * 1.0 / F("capacity_mb"),
        output_field=models.FloatField(),
        db_persist=True,
    )
    created_at = models.DateTimeField(auto_now_add=True)
    activated_at = models.DateTimeField("when its enrolment was done", null=True, editable=False)

    class Meta:
        ordering = ["name"]
        permissions = [
            ("probe_node", "Can probe and check nodes"),
            ("drain_node", "Can drain, disable and activate nodes"),
            ("upgrade_node", "Can upgrade the agents of nodes"),
            ("write_off_node", "Can remove and write off nodes"),
        ]
        indexes = [
            models.Index(
                fields=["region", "load"],
                condition=Q(intent=Intent.ACTIVE, health=Health.ONLINE),
                name="nodes_node_placeable_region",
            ),
            models.Index(
                fields=["load"],
                condition=Q(intent=Intent.ACTIVE, health=Health.ONLINE),
                name="nodes_node_placeable",
            ),
        ]
        constraints = [
            models.CheckConstraint(name="nodes_node_capacity", condition=Q(capacity_mb__gt=0)),
            models.CheckConstraint(name="nodes_node_memory", condition=Q(reserved_mb__lte=F("capacity_mb"))),
            models.CheckConstraint(name="nodes_node_slots", condition=Q(slots_used__lte=F("slots"))),
            models.CheckConstraint(
                name="nodes_node_ports",
                condition=Q(first_port__gte=1024, first_port__lte=65536 - F("slots") * PORTS_PER_SLOT),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class HealthSample(models.Model):
    """How a node was at one moment; what was measured is null where it did not answer. See nodes.history."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="samples", db_index=False)
    at = models.DateTimeField()
    health = models.CharField("after it", max_length=20, choices=Health)
    load = models.FloatField("load average of a minute, for each CPU", null=True)
    memory = models.FloatField("share of its memory in use, 0 to 1", null=True)
    disk = models.FloatField("share of its disk in use, 0 to 1", null=True)
    clock_skew = models.FloatField("how far its clock was ahead, s", null=True)
    error = models.TextField("why it did not answer", blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["node", "at"], name="nodes_healthsample_moment")]
        # Written in this order, and forgotten by it.
        indexes = [BrinIndex(fields=["at"], name="nodes_healthsample_at")]

    def __str__(self) -> str:
        return f"{self.node_id} at {self.at:%Y-%m-%d %H:%M:%S}"


class Errand(models.Model):
    """What somebody in the console waits for: a worker goes to the node and writes the answer here. Kept for a day."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="errands")
    kind = models.CharField(max_length=20, choices=ErrandKind)
    # Of the database whose log is asked for; nodes know them by their id only.
    instance_id = models.UUIDField(null=True)
    asked_by = models.CharField(max_length=300)
    asked_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True)
    succeeded = models.BooleanField(default=False)
    answer = models.TextField(blank=True)

    class Meta:
        default_permissions: ClassVar[list[str]] = []
        ordering = ["-asked_at"]
        indexes = [
            models.Index(fields=["node", "kind", "-asked_at"], name="nodes_errand_of_node"),
            models.Index(fields=["asked_at"], name="nodes_errand_age"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.node_id}"
