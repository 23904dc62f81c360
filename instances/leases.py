"""Who works on what: an operation is a worker's while it holds the lease, and which one it gets is a matter of turns.

Whatever a worker writes about its operation names the lease, so one that was overtaken writes nothing.
"""

import uuid
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import F, Q

from accounts.clock import Now, passed
from instances.models import Operation
from instances.states import OperationState
from nodes.states import Health

# Longer than an agent lives that was called under it; tests/test_time_limits.py has the whole chain.
LEASE = timedelta(seconds=40)
# Not more than the channels of a connection (nodes.transport), on which further calls would wait within their lease.
PER_NODE = 4
# From one attempt to the next, at most.
LONGEST_WAIT = timedelta(seconds=40)


def due() -> Q:
    """Open, asked for by now, nobody's (never leased, or by a worker that is gone), and of use to be taken: its node
    answers, or it has waited too long for that."""
    nobodys = Q(leased_until=None) | passed("leased_until", LEASE)
    of_use = Q(instance__node__health=Health.ONLINE) | out_of_time()
    return Q(finished_at=None) & passed("due_at", LONGEST_WAIT) & nobodys & of_use


def out_of_time() -> Q:
    """Past its deadline. One that was asked for in the future has its deadline from before the clock was put back."""
    return Q(deadline__lte=Now()) | Q(deadline__isnull=False, created_at__gt=Now())


def take(only: uuid.UUID | None = None) -> Operation | None:
    """The due operation whose turn it is (or `only` that one, if it may be taken), with its instance and node.

    Not more than PER_NODE of a node are out at once. Before others comes the account with the fewest out, and of one
    account what was due first.
    """
    lease = uuid.uuid4()
    with connection.cursor() as cursor:
        limits: list[Any] = [LEASE, LONGEST_WAIT, PER_NODE]
        cursor.execute("SELECT instances_take(%s, %s, %s, %s, %s)", [lease, *limits, only])
        taken: uuid.UUID | None = cursor.fetchone()[0]
    if taken is None:
        return None
    # None, too, if it was superseded in this moment.
    return Operation.objects.select_related("instance__node").filter(pk=taken, lease=lease).first()


def give_back(operation: Operation) -> bool:
    """For somebody else to take at once, as if nobody had tried."""
    return change(
        operation,
        state=OperationState.QUEUED,
        lease=None,
        leased_until=None,
        due_at=Now(),
        attempts=F("attempts") - 1,
    )


def change(operation: Operation, **changes: Any) -> bool:
    """Writes, if the operation is still this worker's; False if it is not."""
    mine = Operation.objects.filter(pk=operation.pk, lease=operation.lease, leased_until__gte=Now(), finished_at=None)
    return bool(mine.update(**changes))
