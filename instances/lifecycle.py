"""The verbs: what customers and the system may ask of an instance.

Each is one transaction that changes the instance by a conditional UPDATE, writes the operation and the event, and
wakes the worker once it is committed. Nothing here talks to a node.
"""

import uuid
from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet

from accounts import audit, encryption
from accounts.actors import SYSTEM, Actor
from accounts.clock import Now
from accounts.models import Account
from instances import placement, secrets, wakeups
from instances.errors import DatabaseLimitReached, InvalidTransition, NoPassword, NotFound
from instances.models import Event, Instance, Operation
from instances.states import ROTATES_FROM, TRANSITIONS, Kind, OperationState, Status
from nodes.states import Health

# How long a change may be tried before it has failed. A deletion is tried until it is done.
DEADLINE = timedelta(minutes=5)


class Mode(StrEnum):
    """How a deletion was taken."""

    ASYNC = "async"
    IMMEDIATE = "immediate"
    FALLBACK = "fallback"


def owned_by(account_id: uuid.UUID) -> QuerySet[Instance]:
    """The account's instances; a deleted one is in no list."""
    return Instance.objects.filter(account_id=account_id).exclude(status=Status.DELETED)


def get(account_id: uuid.UUID, instance_id: uuid.UUID) -> Instance:
    """The account's instance with its node. Raises NotFound, also for another account's and for a deleted one."""
    try:
        return owned_by(account_id).select_related("node").get(pk=instance_id)
    except Instance.DoesNotExist:
        raise NotFound from None


@transaction.atomic
def create(
    *,
    account_id: uuid.UUID,
    by: Actor,
    max_databases: int | None,
    max_storage_mb: int | None,
    name: str,
    region: str | None,
    protocol: str,
    log_level: str,
) -> Instance:
    """A new instance, `pending`. Raises DatabaseLimitReached, UnknownRegion, NoNodeAvailable."""
    check_limit(account_id, max_databases)
    reserved = placement.reserve(region=region, protocol=protocol, storage_mb=max_storage_mb)
    instance = Instance.objects.create(
        account_id=account_id,
        node=reserved.node,
        name=name,
        protocol=protocol,
        log_level=log_level,
        storage_mb=reserved.storage_mb,
        slot=reserved.slot,
        reserved_mb=reserved.reserved_mb,
        redis_port=reserved.redis_port,
        memcached_port=reserved.memcached_port,
        http_port=reserved.http_port,
        password_encrypted=encryption.encrypt(secrets.new_password()),
    )
    wanted = {"name": name, "protocol": protocol, "storage_mb": reserved.storage_mb, "node": reserved.node.name}
    record(instance, "instance.create", by, after=wanted)
    ask(instance, Kind.PROVISION, by, "A database was asked for.")
    return instance


def check_limit(account_id: uuid.UUID, max_databases: int | None) -> None:
    """The account's row is locked first, so of two creates the second counts what the first has made."""
    if max_databases is None:
        return
    Account.objects.select_for_update(no_key=True).get(pk=account_id)
    if owned_by(account_id).count() >= max_databases:
        raise DatabaseLimitReached(max_databases)


@transaction.atomic
def restart(instance: Instance, *, by: Actor) -> None:
    """Stop and start with every key kept. Raises InvalidTransition."""
    transition(instance, Status.RESTARTING, verb="a restart")
    record(instance, "instance.restart", by)
    ask(instance, Kind.RESTART, by, "A restart was asked for.")


@transaction.atomic
def rotate(instance: Instance, *, by: Actor) -> str:
    """A new password, which is returned; the restart that follows applies it. Raises InvalidTransition."""
    password = secrets.new_password()
    transition(
        instance,
        Status.RESTARTING,
        verb="a rotation",
        sources=ROTATES_FROM,
        previous_password_encrypted=F("password_encrypted"),
        password_encrypted=encryption.encrypt(password),
    )
    record(instance, "instance.rotate", by, after={"password": audit.CHANGED})
    ask(instance, Kind.ROTATE, by, "A new password was asked for.")
    return password


@transaction.atomic
def recover(instance: Instance, *, found: str) -> None:
    """The node reports something else than what is wanted: apply it again. Raises InvalidTransition."""
    transition(instance, Status.RESTARTING, verb="a recovery", sources=frozenset({Status.RUNNING}))
    record(instance, "instance.recover", SYSTEM, after={"found": found})
    ask(instance, Kind.RESTART, SYSTEM, f"The node reports: {found}. Applying what is wanted again.")


@transaction.atomic
def delete(instance: Instance, *, by: Actor, force: bool) -> Mode:
    """Gone for the customer at once where the node cannot answer or `force` says so, when the node has confirmed
    otherwise. What it holds on the node is given back only then, in every mode. Raises NotFound."""
    mode = Mode.IMMEDIATE if force else Mode.ASYNC if instance.node.health == Health.ONLINE else Mode.FALLBACK
    if mode is Mode.ASYNC and instance.status == Status.DELETING:
        return mode
    target = Status.DELETING if mode is Mode.ASYNC else Status.DELETED
    gone: dict[str, Any] = {} if mode is Mode.ASYNC else {"deleted_at": Now()}
    try:
        transition(instance, target, verb="a deletion", **gone)
    except InvalidTransition as error:
        if mode is Mode.ASYNC and error.status == Status.DELETING:
            return mode
        raise NotFound from None
    record(instance, "instance.delete", by, after={"mode": mode})
    ask(instance, Kind.DEPROVISION, by, f"The deletion was asked for ({mode}).")
    return mode


def reveal(instance: Instance, *, by: Actor) -> str:
    """The password, told to somebody: a read that is written down. Raises NoPassword."""
    told = password(instance)
    record(instance, "instance.reveal", by)
    return told


def password(instance: Instance) -> str:
    """Raises NoPassword."""
    if not instance.password_encrypted:
        raise NoPassword
    return encryption.decrypt(instance.password_encrypted)


def transition(
    instance: Instance, to: Status, *, verb: str, sources: Iterable[Status] | None = None, **changes: Any
) -> None:
    """One conditional UPDATE: of two that want it at once, one gets it. Raises InvalidTransition for the other."""
    changed = Instance.objects.filter(pk=instance.pk, status__in=sources or TRANSITIONS[to]).update(
        status=to, generation=F("generation") + 1, updated_at=Now(), **changes
    )
    instance.refresh_from_db(fields=["status", "generation", "updated_at"])
    if not changed:
        raise InvalidTransition(verb, instance.status)


def record(instance: Instance, action: str, by: Actor, *, after: dict[str, Any] | None = None) -> None:
    audit.record(actor=by, action=action, subject=instance, account=instance.account_id, after=after)


def ask(instance: Instance, kind: Kind, by: Actor, text: str) -> None:
    """Writes the operation, which takes the place of one that is still open, and wakes a worker after commit."""
    if kind is not Kind.PROVISION:
        supersede(instance)
    operation = Operation.objects.create(
        instance=instance,
        kind=kind,
        generation=instance.generation,
        requested_by_id=by.token_id,
        asked_by=by.label,
        created_at=Now(),
        due_at=Now(),
        deadline=None if kind is Kind.DEPROVISION else Now() + DEADLINE,
    )
    Event.objects.create(instance=instance, operation=operation, status=instance.status, text=text)
    transaction.on_commit(lambda: wakeups.wake(operation.pk), robust=True)


def supersede(instance: Instance) -> None:
    Operation.objects.filter(instance=instance, finished_at=None).update(
        state=OperationState.SUPERSEDED, finished_at=Now(), lease=None, leased_until=None
    )
