"""Every button of the console, what is typed for it, and the trace that it leaves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db import connection, transaction
from django.urls import reverse

from accounts.models import AuditEntry
from basekv.console.buttons import Button
from basekv.console.page import Page
from billing.models import Plan
from nodes.models import Errand

PAGES = {model: page for model, page in admin.site._registry.items() if isinstance(page, Page)}
BUTTONS = [(model, button) for model, page in PAGES.items() for button in page.buttons]
LIST_BUTTONS = [(model, button) for model, page in PAGES.items() for button in page.list_buttons]
BULK_BUTTONS = [(model, button) for model, button in BUTTONS if button.bulk]


@dataclass
class Pressed:
    """`action` is in the audit trail afterwards; what has none is an errand for a worker."""

    action: str
    typed: Callable[[Any], dict[str, Any]] = lambda _: {}


ERRAND = ""
LIMITS = {"max_databases": 1, "max_storage_mb": "", "max_requests_per_day": ""}
SCOPES = {"scopes": ["db.instances.read"]}

PRESSED = {
    "instance.restart": Pressed("instance.restart"),
    "instance.retry": Pressed("instance.restart"),
    "instance.rotate": Pressed("instance.rotate"),
    "instance.password": Pressed("instance.reveal"),
    "instance.log": Pressed("instance.see_log"),
    "instance.delete": Pressed("instance.delete"),
    "instance.force-delete": Pressed("instance.delete"),
    "node.probe": Pressed(ERRAND),
    "node.upgrade": Pressed(ERRAND),
    "node.activate": Pressed("node.activate"),
    "node.drain": Pressed("node.drain"),
    "node.disable": Pressed("node.disable"),
    "node.remove": Pressed("node.remove"),
    "node.write-off": Pressed("node.write_off", lambda node: {"name": node.name}),
    "account.open": Pressed("account.create", lambda _: {"name": "Initech", "plan": Plan.objects.first().pk}),
    "account.token": Pressed("token.issue", lambda _: {"service_account": "agent", **SCOPES}),
    "account.plan": Pressed(
        "account.subscribe", lambda account: {"plan": Plan.objects.exclude(subscriptions__account=account).first().pk}
    ),
    "account.service-account": Pressed("service_account.create", lambda _: {"name": "new"}),
    "account.resume": Pressed("account.resume"),
    "account.suspend": Pressed("account.suspend"),
    "account.end": Pressed("account.unsubscribe"),
    "serviceaccount.token": Pressed("token.issue", lambda _: SCOPES),
    "serviceaccount.enable": Pressed("service_account.enable"),
    "serviceaccount.disable": Pressed("service_account.disable"),
    "token.revoke": Pressed("token.revoke"),
    "alert.acknowledge": Pressed("alert.acknowledge"),
    "plan.add": Pressed("plan.create", lambda _: {"slug": "gold", "name": "Gold", "price_cents": 1, **LIMITS}),
    "plan.limits": Pressed("plan.change", lambda _: LIMITS),
    "plan.price": Pressed("plan.change", lambda _: {"name": "Gold", "price_cents": 9_900}),
    "region.add": Pressed("region.create", lambda _: {"slug": "eu-west", "name": "West"}),
    "region.rename": Pressed("region.change", lambda _: {"name": "Elsewhere"}),
}


def name_of(value: Any) -> str:
    return value.name if isinstance(value, Button) else value._meta.model_name


def pressed(model: Any, button: Button) -> Pressed:
    return PRESSED[f"{model._meta.model_name}.{button.name}"]


def subject_of(model: Any, button: Button) -> Any:
    """One for which the button is there."""
    return next(row for row in model.objects.order_by("pk") if button.when(row))


def place(model: Any, button: Button, subject: Any = None) -> str:
    prefix = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    if subject is None:
        return reverse(f"{prefix}_do_on_list", args=[button.name])
    return reverse(f"{prefix}_do", args=[subject.pk, button.name])


def was_done_by(email: str, model: Any, button: Button) -> bool:
    """By this person, who has done nothing before."""
    action = pressed(model, button).action
    if action == ERRAND:
        return Errand.objects.filter(asked_by=email).exists()
    return AuditEntry.objects.filter(actor_kind="user", actor_label=email, action=action).exists()


@contextmanager
def undone() -> Iterator[None]:
    """Whatever happens in it, has not happened afterwards."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def everything() -> list[tuple[str, str]]:
    """Of each table a digest of all its rows."""
    one = """SELECT '{0}', md5(string_agg(t::text, '|' ORDER BY t::text)) FROM "{0}" t"""
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(one.format(table) for table in connection.introspection.table_names()))
        return sorted(cursor.fetchall())
