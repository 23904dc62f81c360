import uuid
from typing import ClassVar

from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models import Q
from django.db.models.functions import Upper

from accounts.models import Account, Token
from instances.states import Kind, LogLevel, OperationState, Protocol, Severity, Status
from nodes.models import Node


class Instance(models.Model):
    """A customer's database: what is wanted of it, and where it lives."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="instances")
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="instances")
    name = models.CharField(max_length=100)
    protocol = models.CharField(max_length=20, choices=Protocol, default=Protocol.REDIS)
    log_level = models.CharField(max_length=20, choices=LogLevel, default=LogLevel.INFO)
    storage_mb = models.PositiveIntegerField()
    status = models.CharField(max_length=20, choices=Status, default=Status.PENDING)
    # Grows with every change that is asked for; the node refuses what is older than what it has.
    generation = models.PositiveIntegerField(default=1)

    password_encrypted = models.TextField(blank=True, editable=False)
    # The one before, until the node has proven that it refuses it.
    previous_password_encrypted = models.TextField(blank=True, editable=False)

    # What it holds on the node; all given back when the node has confirmed that it is gone (slot is null then).
    slot = models.PositiveIntegerField(null=True, editable=False)
    reserved_mb = models.PositiveIntegerField(default=0, editable=False)
    redis_port = models.PositiveIntegerField(null=True, editable=False)
    memcached_port = models.PositiveIntegerField(null=True, editable=False)
    http_port = models.PositiveIntegerField(null=True, editable=False)

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["created_at", "id"]
        permissions = [
            ("restart_instance", "Can restart instances, also failed ones"),
            ("rotate_instance", "Can rotate passwords of instances"),
            ("force_delete_instance", "Can delete instances without their node's word"),
            ("see_password", "Can see passwords of instances"),
            ("see_log", "Can see logs of instances"),
        ]
        indexes = [
            models.Index(
                fields=["account", "created_at", "id"],
                condition=~Q(status=Status.DELETED),
                name="instances_instance_of_account",
            ),
            # What begins with a word, in upper or lower case.
            models.Index(OpClass(Upper("name"), name="text_pattern_ops"), name="instances_instance_search"),
            models.Index(fields=["-created_at", "-id"], name="instances_instance_latest"),
            # How many a node has of each status, from the index alone.
            models.Index(fields=["node", "status"], name="instances_instance_by_status"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["node", "slot"], name="instances_instance_node_slot"),
            *(
                models.UniqueConstraint(
                    fields=["node", port], condition=Q(slot__isnull=False), name=f"instances_instance_{port}"
                )
                for port in ("redis_port", "memcached_port", "http_port")
            ),
            models.CheckConstraint(name="instances_instance_status", condition=Q(status__in=Status.values)),
            models.CheckConstraint(
                name="instances_instance_holds_or_not",
                condition=Q(slot__isnull=False, reserved_mb__gt=0)
                | Q(slot__isnull=True, reserved_mb=0, status=Status.DELETED),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.pk})"


class Operation(models.Model):
    """One asked-for change of an instance: the work queue and the history.

    `generation` is the instance's at the time of asking. A worker owns the operation while `lease` is its own and
    `leased_until` has not passed; its writes name the lease, so a worker that was overtaken writes nothing.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="operations")
    kind = models.CharField(max_length=20, choices=Kind)
    generation = models.PositiveIntegerField()
    # The token, if a customer asked; and in words whoever asked: a token, a person, a command, or BaseKV itself.
    requested_by = models.ForeignKey(Token, on_delete=models.SET_NULL, null=True, related_name="+")
    asked_by = models.CharField(max_length=300, blank=True, db_default="")
    state = models.CharField(max_length=20, choices=OperationState, default=OperationState.QUEUED)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField()
    deadline = models.DateTimeField(null=True)
    lease = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)
    # Why the last attempt did not succeed: for operators, and in words that tell a customer nothing of the inside.
    error = models.TextField(blank=True)
    customer_error = models.TextField(blank=True)
    created_at = models.DateTimeField(editable=False)
    # When the first attempt began, and the last one.
    started_at = models.DateTimeField(null=True)
    attempted_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(finished_at=None), name="instances_operation_due"),
            models.Index(fields=["instance", "-created_at"], name="instances_operation_history"),
            models.Index(fields=["-created_at", "-id"], name="instances_operation_latest"),
            models.Index(
                fields=["finished_at"], condition=Q(state=OperationState.FAILED), name="instances_operation_failed"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["instance"], condition=Q(finished_at=None), name="instances_operation_one_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.instance_id}"


class Event(models.Model):
    """What happened to an instance, written in the same transaction as the change."""

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="events")
    operation = models.ForeignKey(Operation, on_delete=models.SET_NULL, null=True, related_name="events")
    status = models.CharField("status after it", max_length=20, choices=Status)
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["instance", "-created_at"], name="instances_event_history"),
            models.Index(fields=["-created_at", "-id"], name="instances_event_latest"),
        ]

    def __str__(self) -> str:
        return self.text


class Orphan(models.Model):
    """A database that a node has and that nobody wants: stopped and kept for a while, then erased."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="orphans")
    # No foreign key: most often there is no such row, which is what makes it an orphan.
    instance_id = models.UUIDField()
    generation = models.PositiveIntegerField()
    found_at = models.DateTimeField(auto_now_add=True)
    quarantined_at = models.DateTimeField(null=True)
    erased_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-found_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["node", "instance_id"], condition=Q(erased_at=None), name="instances_orphan_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.instance_id} on {self.node}"


class IdempotencyKey(models.Model):
    """The first answer to a create request, kept to be given again. It holds no secret: a create answers none."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    request_digest = models.BinaryField(max_length=32)
    response = models.BinaryField(default=b"")
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="instances_idempotency_age")]
        constraints = [
            models.UniqueConstraint(fields=["account", "key"], name="instances_idempotency_account_key"),
        ]

    def __str__(self) -> str:
        return self.key


class Alert(models.Model):
    """Something that is wrong, from when it was found until it was gone; instances/alerts.py opens and resolves it.

    Its subject is kept as text, so that it outlives what it is about. `kind` is a condition's name.
    """

    kind = models.CharField(max_length=50)
    severity = models.CharField(max_length=20, choices=Severity)
    subject_type = models.CharField(max_length=20)
    subject_id = models.CharField(max_length=64)
    subject_label = models.CharField("subject", max_length=300)
    text = models.TextField()
    what_to_do = models.TextField()
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-opened_at"]
        default_permissions = ["view"]
        permissions = [("acknowledge_alert", "Can acknowledge alerts")]
        indexes = [models.Index(fields=["resolved_at"], name="instances_alert_age")]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject_id"], condition=Q(resolved_at=None), name="instances_alert_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject_label}"


class Heartbeat(models.Model):
    """When the beat, the broker and a worker last did something together."""

    name = models.CharField(primary_key=True, max_length=50)
    at = models.DateTimeField()

    class Meta:
        default_permissions: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.name
