"""What staff may do: the one table from which the groups and the table in docs/console.md are made.

Every member of staff sees everything but secrets. A superuser may do everything, and is the only one who changes
people and their roles, so that nobody gives themselves more rights.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from django.apps.registry import Apps
from django.apps.registry import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import transaction


class Role(StrEnum):
    OPERATOR = "operator"
    SUPPORT = "support"
    BILLING = "billing"
    AUDITOR = "auditor"


EVERYBODY = frozenset(Role)
FLEET = frozenset({Role.OPERATOR})
DATABASES = frozenset({Role.OPERATOR, Role.SUPPORT})
CUSTOMERS = frozenset({Role.OPERATOR, Role.SUPPORT, Role.BILLING})
MONEY = frozenset({Role.BILLING})

# permission -> what it lets somebody do, and who may
TABLE: dict[str, tuple[str, frozenset[Role]]] = {
    "accounts.view_account": ("see accounts", EVERYBODY),
    "accounts.view_serviceaccount": ("see service accounts", EVERYBODY),
    "accounts.view_token": ("see tokens, which show no secret", EVERYBODY),
    "billing.view_plan": ("see plans", EVERYBODY),
    "billing.view_subscription": ("see subscriptions", EVERYBODY),
    "billing.view_usage": ("see usage", EVERYBODY),
    "nodes.view_region": ("see regions", EVERYBODY),
    "nodes.view_node": ("see nodes and their health", EVERYBODY),
    "instances.view_instance": ("see databases, without their passwords", EVERYBODY),
    "instances.view_operation": ("see operations", EVERYBODY),
    "instances.view_event": ("see events", EVERYBODY),
    "instances.view_orphan": ("see orphans", EVERYBODY),
    "instances.view_alert": ("see alerts", EVERYBODY),
    "accounts.view_auditentry": ("see the audit trail", frozenset({Role.OPERATOR, Role.AUDITOR})),
    "instances.restart_instance": ("restart a database, try a failed one again", DATABASES),
    "instances.see_log": ("see a database's log", DATABASES),
    "instances.rotate_instance": ("rotate a database's password", DATABASES),
    "instances.see_password": ("see a database's password", FLEET),
    "instances.delete_instance": ("delete a database", FLEET),
    "instances.force_delete_instance": ("delete a database without its node's word", FLEET),
    "instances.acknowledge_alert": ("acknowledge an alert", DATABASES),
    "nodes.probe_node": ("probe and check a node", DATABASES),
    "nodes.drain_node": ("drain, disable and activate a node", FLEET),
    "nodes.upgrade_node": ("upgrade a node's agent", FLEET),
    "nodes.write_off_node": ("remove a node, or write it off with its databases", FLEET),
    "nodes.add_region": ("add a region", FLEET),
    "nodes.change_region": ("rename a region", FLEET),
    "accounts.add_account": ("open an account", CUSTOMERS),
    "accounts.suspend_account": ("suspend and resume an account", CUSTOMERS),
    # A token with every scope reveals passwords: who may not see them issues none.
    "accounts.issue_token": ("issue a token, and with it see passwords", FLEET),
    "accounts.add_serviceaccount": ("add a service account", FLEET),
    "accounts.disable_serviceaccount": ("disable and enable a service account", DATABASES),
    "accounts.revoke_token": ("revoke a token", DATABASES),
    "billing.change_subscription": ("change an account's plan, or end its subscription", MONEY),
    "billing.add_plan": ("add a plan", MONEY),
    "billing.change_plan": ("change a plan's limits and price", MONEY),
}


def permissions_of(role: Role) -> set[str]:
    return {permission for permission, (_, roles) in TABLE.items() if role in roles}


def markdown() -> Iterator[str]:
    """The table for people, line by line."""
    yield "| may | " + " | ".join(Role) + " | permission |"
    yield "|---" * (len(Role) + 2) + "|"
    for permission, (what, roles) in TABLE.items():
        marks = " | ".join("yes" if role in roles else "" for role in Role)
        yield f"| {what} | {marks} | `{permission}` |"


@transaction.atomic
def make_groups(apps: Apps = installed, **_: Any) -> None:
    """The groups have exactly the rights of the table, after every `migrate`. The apps of the higher floors get their
    permissions only later in the same migrate, so they are made here first."""
    try:
        groups, permissions = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    except LookupError:  # migrated back to before there were any
        return
    for label in {permission.partition(".")[0] for permission in TABLE}:
        create_permissions(installed.get_app_config(label), verbosity=0, apps=apps)
    known = {f"{p.content_type.app_label}.{p.codename}": p for p in permissions.objects.select_related("content_type")}
    for role in Role:
        group, _made = groups.objects.get_or_create(name=role)
        group.permissions.set([known[name] for name in permissions_of(role) if name in known])
