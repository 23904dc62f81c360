"""The words for a node: what an operator wants of it, and how it is."""

from django.db.models import TextChoices


class Intent(TextChoices):
    """What an operator wants. Only an active node is given new instances."""

    ACTIVE = "active"
    DRAINING = "draining"
    DISABLED = "disabled"


class Health(TextChoices):
    """How it is, derived from the last good probe."""

    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"


class Supervisor(TextChoices):
    """What keeps the engines alive on the node."""

    SYSTEMD = "systemd"
    PROCESSES = "processes"


class ErrandKind(TextChoices):
    """What the console asks a worker to fetch from a node, or to do there, while somebody waits for it."""

    PROBE = "probe"
    UPGRADE = "upgrade"
    LOG = "log"
