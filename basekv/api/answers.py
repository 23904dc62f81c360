"""What the API answers, written as plain data. Instances are written by PostgreSQL and passed through as text, which
costs a fraction of building each of them here (bench/lists.py)."""

import uuid
from collections.abc import Iterable
from typing import Any

import orjson
from django.db.models import BooleanField, Case, QuerySet, TextField, Value, When
from django.db.models.functions import Cast, JSONObject, NullIf

from basekv.api.admission import usage
from basekv.api.inputs import Page, write_cursor
from billing.admission import Caller
from instances import secrets
from instances.errors import NotFound
from instances.lifecycle import Mode
from instances.models import Instance, Operation

# Valkey's and Redis's own name for the user that every database starts with.
USERNAME = "default"

INSTANCE = Cast(
    JSONObject(
        id="id",
        name="name",
        status="status",
        protocol="protocol",
        region="node__region_id",
        node_id="node_id",
        host="node__host",
        ports=JSONObject(redis="redis_port", memcached="memcached_port", http="http_port"),
        auth_required=Case(When(password_encrypted="", then=False), default=True, output_field=BooleanField()),
        log_level="log_level",
        storage_mb="storage_mb",
        created_at="created_at",
        updated_at="updated_at",
    ),
    TextField(),
)

OPERATION = Cast(
    JSONObject(
        id="id",
        kind="kind",
        state="state",
        token_prefix="requested_by__prefix",
        attempts="attempts",
        error=NullIf("customer_error", Value("")),
        created_at="created_at",
        started_at="started_at",
        finished_at="finished_at",
    ),
    TextField(),
)


def listed(instances: QuerySet[Instance], page: Page, caller: Caller) -> dict[str, Any]:
    rows = instances.order_by("created_at", "id")
    if page.after is not None:
        created_at, last = page.after
        rows = rows.filter(created_at__gte=created_at).exclude(created_at=created_at, pk__lte=last)
    if page.limit is not None:
        rows = rows[: page.limit + 1]
    found = list(rows.annotate(document=INSTANCE).values_list("document", "created_at", "pk"))
    more = page.limit is not None and len(found) > page.limit
    shown = found[: page.limit]
    return {
        "instances": array(document for document, _, _ in shown),
        "plan": plan(caller),
        "usage": usage(caller),
        **({"next_cursor": write_cursor(*shown[-1][1:]) if more else None} if page.limit else {}),
    }


def one(instances: QuerySet[Instance], instance_id: uuid.UUID) -> bytes:
    """Raises NotFound."""
    document = instances.filter(pk=instance_id).values_list(INSTANCE, flat=True).first()
    if document is None:
        raise NotFound
    return str(document).encode()


def operations(instance: Instance, caller: Caller) -> dict[str, Any]:
    asked = Operation.objects.filter(instance=instance).order_by("-created_at", "-id")
    return {"operations": array(asked.values_list(OPERATION, flat=True)), "usage": usage(caller)}


def array(documents: Iterable[str]) -> orjson.Fragment:
    return orjson.Fragment("[" + ",".join(documents) + "]")


def plan(caller: Caller) -> dict[str, Any]:
    return {
        "id": caller.plan_slug,
        "name": caller.plan_name,
        "limits": {
            "maxDatabases": caller.max_databases,
            "maxStorageMb": caller.max_storage_mb,
            "maxRequestsPerDay": caller.max_requests_per_day,
        },
    }


def whoami(caller: Caller) -> dict[str, Any]:
    return {
        "account_id": caller.account_id,
        "service_account_id": caller.service_account_id,
        "token_id": caller.token_id,
        "token_prefix": caller.token_prefix,
        "scopes": caller.scopes,
        "plan": plan(caller),
        "usage": usage(caller),
    }


def created(instance: Instance, caller: Caller) -> dict[str, Any]:
    return {
        "id": instance.pk,
        "name": instance.name,
        "status": instance.status,
        "node_id": instance.node_id,
        "region": instance.node.region_id,
        "protocol": instance.protocol,
        "auth_required": bool(instance.password_encrypted),
        "usage": usage(caller),
    }


def status(instance: Instance, caller: Caller) -> dict[str, Any]:
    return {"id": instance.pk, "status": instance.status, "usage": usage(caller)}


def deleted(instance: Instance, caller: Caller, mode: Mode) -> dict[str, Any]:
    reason = (
        "force=true was asked for."
        if mode is Mode.IMMEDIATE
        else f"The instance's node is {instance.node.health}; it is cleaned up when it answers again."
    )
    return {**status(instance, caller), "mode": mode, "reason": reason}


def credentials(instance: Instance) -> dict[str, Any]:
    has_password = bool(instance.password_encrypted)
    return {
        **endpoint(instance),
        "node_id": instance.node_id,
        "ports": {
            "redis": instance.redis_port,
            "memcached": instance.memcached_port,
            "http": instance.http_port,
        },
        "password_set": has_password,
        "password_masked": secrets.MASK if has_password else None,
    }


def revealed(instance: Instance, password: str) -> dict[str, Any]:
    return {**endpoint(instance), "redis_port": instance.redis_port, "password": password}


def rotated(instance: Instance, password: str) -> dict[str, Any]:
    return {
        **revealed(instance, password),
        "status": instance.status,
        "message": "The old password stops working when the restart is done.",
    }


def endpoint(instance: Instance) -> dict[str, Any]:
    return {
        "id": instance.pk,
        "name": instance.name,
        "protocol": instance.protocol,
        "host": instance.node.host,
        "username": USERNAME,
    }
