"""Makes it so: takes an operation's lease, sends the node the whole desired state, writes down the answer.

No transaction is open while a node is talked to. A worker that stalled past its lease, or whose operation was
superseded meanwhile, writes nothing (instances.leases).
"""

import logging
import random
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction

from accounts import encryption
from accounts.clock import Now
from instances import leases, placement, wakeups
from instances.models import Event, Instance, Operation
from instances.states import TRANSITIONS, Kind, OperationState, Status
from nodes import transport
from nodes.errors import Abandoned, AgentError, NodeError, Unreachable
from nodes.health import endpoint
from nodes.states import Health

logger = logging.getLogger(__name__)


class InternalError(NodeError):
    """Ours, and not the node's."""


FIRST_RETRY = timedelta(seconds=1)
RECONNECT_AFTER = (0.1, 1.0, 3.0)  # seconds


def carry_out(only: uuid.UUID | None = None) -> bool:
    """Tries the operation whose turn it is (or `only` that one), once; False when there is none to try.

    Never raises for what a node did.
    """
    operation = leases.take(only)
    if operation is None:
        return False
    outcome = tried(operation)
    written(outcome)
    return True


def tried(operation: Operation) -> Callable[[], None]:
    """What is to be written down after one attempt."""
    try:
        attempt(operation)
    except Abandoned:
        return partial(hand_over, operation)
    except NodeError as error:
        if operation.kind != Kind.DEPROVISION and (error.permanent or out_of_time(operation)):
            return partial(fail, operation, error)
        return partial(postpone, operation, error)
    except Exception:
        logger.exception("%s %s: our own mistake", operation, operation.pk)
        return partial(give_up_or_postpone, operation)
    return partial(succeed, operation)


def written(outcome: Callable[[], None]) -> None:
    """Also when PostgreSQL is restarted in this moment: unwritten, it would have to wait for the end of the lease.

    Twice does no harm, since the first time ends the lease.
    """
    for pause in RECONNECT_AFTER:
        try:
            return outcome()
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block:
                raise
            connection.close()
            time.sleep(pause)
    return outcome()


def attempt(operation: Operation) -> None:
    """Raises NodeError; what waited too long for its node is not sent there any more."""
    node = operation.instance.node
    if node.health != Health.ONLINE and out_of_time(operation):
        raise Unreachable(f"{node} has not answered for too long. {node.last_error}")
    converge(operation.instance, operation.kind)


def hand_over(operation: Operation) -> None:
    """This worker is about to end: another one begins anew, which the agent bears, since all it does is idempotent."""
    logger.info("%s %s: handed over", operation, operation.pk)
    if leases.give_back(operation):
        wakeups.wake(operation.pk)


def give_up_or_postpone(operation: Operation) -> None:
    """Whatever it was, the operation neither blocks its lease nor is tried for ever."""
    error = InternalError("The control plane failed at it; its log says how.")
    if operation.kind != Kind.DEPROVISION and out_of_time(operation):
        fail(operation, error)
    else:
        postpone(operation, error)


def converge(instance: Instance, kind: str) -> dict[str, Any]:
    """Makes the node agree with what is wanted; idempotent. Raises NodeError."""
    request = removal(instance) if kind == Kind.DEPROVISION else desired_state(instance)
    return transport.call(endpoint(instance.node), request)


def desired_state(instance: Instance) -> dict[str, Any]:
    previous = instance.previous_password_encrypted
    return {
        "verb": "apply",
        "instance": str(instance.pk),
        "generation": instance.generation,
        "protocol": instance.protocol,
        "ports": {
            "redis": instance.redis_port,
            "memcached": instance.memcached_port,
            "http": instance.http_port,
        },
        "storage_mb": instance.storage_mb,
        "log_level": instance.log_level,
        "password": encryption.decrypt(instance.password_encrypted),
        "previous_password": encryption.decrypt(previous) if previous else None,
    }


def removal(instance: Instance) -> dict[str, Any]:
    return {"verb": "remove", "instance": str(instance.pk), "generation": instance.generation}


@transaction.atomic
def succeed(operation: Operation) -> None:
    if not close(operation, OperationState.SUCCEEDED):
        return
    if operation.kind == Kind.DEPROVISION:
        settle(operation, Status.DELETED, "The node has confirmed that it is gone.", deleted_at=Now())
        placement.release(operation.instance_id)
    else:
        settle(operation, Status.RUNNING, "It answers, with its password.", previous_password_encrypted="")


@transaction.atomic
def fail(operation: Operation, error: NodeError) -> None:
    if close(operation, OperationState.FAILED, error=str(error), customer_error=for_customer(error)):
        settle(operation, Status.FAILED, f"The {operation.kind} failed: {error}")


def postpone(operation: Operation, error: NodeError) -> None:
    """Later, and later each time, with jitter so that what failed together does not come back together."""
    delay = min(FIRST_RETRY * 2 ** min(operation.attempts - 1, 16), leases.LONGEST_WAIT) * random.uniform(0.5, 1)  # noqa: S311
    logger.warning("%s %s: %s; again in %.1f s", operation, operation.pk, error, delay.total_seconds())
    leases.change(
        operation,
        state=OperationState.QUEUED,
        lease=None,
        leased_until=None,
        due_at=Now() + delay,
        error=str(error),
        customer_error=for_customer(error),
    )


def for_customer(error: NodeError) -> str:
    """What an operator reads may name hosts and paths; a customer is told only whose turn it is."""
    if isinstance(error, InternalError):
        return "Something went wrong on our side."
    if isinstance(error, AgentError):
        return "The node could not carry it out."
    return "The node could not be reached."


def out_of_time(operation: Operation) -> bool:
    return Operation.objects.filter(leases.out_of_time(), pk=operation.pk).exists()


def close(operation: Operation, state: OperationState, **changes: str) -> bool:
    """False when the operation is no longer this worker's.

    The instance's row is locked first, as the lifecycle's verbs do: in the other order the two would deadlock.
    """
    Instance.objects.select_for_update(no_key=True).filter(pk=operation.instance_id).values("pk").first()
    return leases.change(
        operation,
        **{"error": "", "customer_error": "", **changes},
        state=state,
        finished_at=Now(),
        lease=None,
        leased_until=None,
    )


def settle(operation: Operation, status: Status, text: str, **changes: Any) -> None:
    """The instance's final state, if it is still what this operation was asked for; and the event."""
    settled = Instance.objects.filter(
        pk=operation.instance_id, generation=operation.generation, status__in=TRANSITIONS[status]
    ).update(status=status, updated_at=Now(), **changes)
    final = status if settled else operation.instance.status
    Event.objects.create(instance_id=operation.instance_id, operation=operation, status=final, text=text)
