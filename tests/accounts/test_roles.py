"""What each role may do is what the one table says, cell by cell, whatever was clicked together meanwhile."""

import itertools
import json
from io import StringIO

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry, User
from accounts.roles import TABLE, Role, permissions_of
from tests import factories

pytestmark = pytest.mark.django_db


def person(role):
    user = User.objects.create_user(f"{role}@example.com", "x", is_staff=True)
    user.groups.set([Group.objects.get(name=role)])
    return user


@pytest.mark.parametrize("role", Role)
def test_a_role_may_what_the_table_says_and_nothing_else(role):
    may = person(role).get_all_permissions()
    assert may == permissions_of(role)


def test_every_permission_of_the_table_exists():
    have = {f"{app}.{name}" for app, name in Permission.objects.values_list("content_type__app_label", "codename")}
    assert set(TABLE) - have == set()


def test_nobody_but_a_superuser_may_change_people_roles_or_the_trail():
    rights = {
        f"{app}.{verb}_{model}"
        for verb, (app, model) in itertools.product(
            ("add", "change", "delete"),
            [("accounts", "user"), ("auth", "group"), ("auth", "permission"), ("accounts", "auditentry")],
        )
    }
    for role in Role:
        assert not person(role).get_all_permissions() & rights


def test_a_superuser_may_everything():
    assert User.objects.create_superuser("root@example.com", "x").has_perms(TABLE)


def test_rights_that_somebody_added_are_gone_after_the_next_migrate():
    group = Group.objects.get(name=Role.AUDITOR)
    group.permissions.add(Permission.objects.get(codename="write_off_node"))
    group.permissions.remove(Permission.objects.get(codename="view_auditentry"))
    call_command("migrate", verbosity=0)
    assert person(Role.AUDITOR).get_all_permissions() == permissions_of(Role.AUDITOR)


def test_create_operator_makes_somebody_who_signs_in_with_the_password_shown(client):
    out = StringIO()
    call_command("create_operator", "Sup@Example.com", "--role=support", "--json", stdout=out)
    shown = json.loads(out.getvalue())
    assert client.login(username="sup@example.com", password=shown["password"])
    assert User.objects.get().get_all_permissions() == permissions_of(Role.SUPPORT)
    entry = AuditEntry.objects.get(action="user.create")
    assert entry.changes == {"is_staff": [None, True], "roles": [None, ["support"]]}
    with pytest.raises(CommandError, match="already"):
        call_command("create_operator", "sup@example.com", "--role=auditor", stdout=out)
    with pytest.raises(CommandError, match="no email"):
        call_command("create_operator", "sup", "--role=auditor", stdout=out)


def test_createsuperuser_is_in_the_audit_trail(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a long enough one 9")
    call_command("createsuperuser", "--noinput", "--email=Root@example.com", stdout=StringIO())
    root = User.objects.get(email="root@example.com")
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_kind, entry.subject_id) == ("user.create", "command", str(root.pk))
    assert entry.changes == {"is_staff": [None, True], "is_superuser": [None, True]}
    with pytest.raises(CommandError):
        call_command("createsuperuser", "--noinput", "--email=root@example.com", stdout=StringIO())
    assert AuditEntry.objects.count() == 1


def test_a_suspended_account_is_refused_and_let_in_again():
    customer = factories.customer()
    statuses = []
    for command in ("suspend_account", "resume_account"):
        call_command(command, customer.account.name, stdout=StringIO())
        statuses.append(customer.client.get("/api/v1/whoami").status_code)
    assert statuses == [403, 200]
