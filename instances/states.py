"""The states of an instance, and the only ways between them."""

from django.db.models import TextChoices


class Status(TextChoices):
    PENDING = "pending"
    RUNNING = "running"
    RESTARTING = "restarting"
    DELETING = "deleting"
    DELETED = "deleted"
    FAILED = "failed"


class Kind(TextChoices):
    """What can be asked for: the kinds of operation."""

    PROVISION = "provision"
    RESTART = "restart"
    ROTATE = "rotate"
    DEPROVISION = "deprovision"


class OperationState(TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class Protocol(TextChoices):
    REDIS = "redis"
    MEMCACHED = "memcached"
    BOTH = "both"


class LogLevel(TextChoices):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Severity(TextChoices):
    """Of an alert. In the order of the alphabet, the gravest is the first."""

    CRITICAL = "critical"
    WARNING = "warning"


# target -> the states that may become it
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset(),
    Status.RUNNING: frozenset({Status.PENDING, Status.RESTARTING}),
    Status.RESTARTING: frozenset({Status.RUNNING, Status.FAILED}),
    Status.FAILED: frozenset({Status.PENDING, Status.RESTARTING}),
    Status.DELETING: frozenset({Status.PENDING, Status.RUNNING, Status.RESTARTING, Status.FAILED}),
    Status.DELETED: frozenset({Status.PENDING, Status.RUNNING, Status.RESTARTING, Status.FAILED, Status.DELETING}),
}

# A new password is given to a database that is known to run, so a rotation starts from fewer states than a restart.
ROTATES_FROM = frozenset({Status.RUNNING})
