"""Looking at the console changes nothing, and shows no secret."""

import re
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.db import connection
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

from accounts.actors import SYSTEM
from accounts.models import AuditEntry, User
from basekv.console.page import Page
from instances import lifecycle
from instances.models import Instance
from nodes import errands
from nodes.models import Node
from nodes.states import ErrandKind
from tests.console.pressing import BUTTONS, everything, place, pressed, subject_of, undone

pytestmark = pytest.mark.django_db

PAGES = [page for page in admin.site._registry.values() if isinstance(page, Page)]


def routes(resolver, before: str = "") -> Iterator[tuple[str, str]]:
    """Every path of the console as it is written, with its name."""
    for entry in resolver.url_patterns:
        route = str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, before + route)
        elif isinstance(entry, URLPattern) and isinstance(entry.pattern, RoutePattern):
            yield before + route, entry.name or ""


def addresses(errand) -> Iterator[str]:
    for route, name in routes(get_resolver()):
        if not route.startswith("admin/"):
            continue
        model = next((m for m in admin.site._registry if f"{m._meta.app_label}_{m._meta.model_name}_" in name), None)
        row = model.objects.first() if model else None
        pk = row.pk if row else "0"
        for button in buttons_at(route, admin.site._registry.get(model)):
            yield "/" + filled(route, object_id=pk, id=pk, name=button, errand_id=errand.pk)


def filled(route, **values) -> str:
    """Of what is not known, anything will do."""
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(values.get(found[1], "1")), route)


def buttons_at(route, page) -> list[str]:
    """Their names where the route wants one; otherwise none that matters."""
    if "<slug:name>" not in route:
        return [""]
    return [button.name for button in (page.buttons if "object_id" in route else page.list_buttons)]


def written() -> list[tuple]:
    """What this transaction has written, by table."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_xact_user_tables ORDER BY 1")
        return cursor.fetchall()


def test_no_path_of_the_console_changes_anything_when_it_is_looked_at(world, superuser):
    node = Node.objects.first()
    errand = errands.ask(node, ErrandKind.PROBE, by=SYSTEM)
    superuser.get("/admin/")
    paths = sorted(set(addresses(errand)))
    assert len(paths) > 100
    rows, writes = everything(), written()
    statuses = {}
    for path in paths:
        statuses[path] = superuser.get(path).status_code
        assert statuses[path] in {200, 301, 302, 403, 404, 405}, path
        assert written() == writes, path
    assert everything() == rows
    opened = [path for path, status in statuses.items() if "/do/" in path and status == 200]
    assert len(opened) == sum(len([*page.buttons, *page.list_buttons]) for page in PAGES)


def test_no_page_shows_a_secret(world, superuser):
    """None that is looked at: lists, objects, and what each button asks, for each row."""
    errand = errands.ask(Instance.objects.first().node, ErrandKind.LOG, by=SYSTEM)
    secrets = {world.secret, *(lifecycle.password(instance) for instance in Instance.objects.all())}
    paths = set(addresses(errand))
    for model, page in admin.site._registry.items():
        name = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        buttons = page.buttons if isinstance(page, Page) else []
        for row in model.objects.all():
            paths |= {f"{name}{row.pk}/change/", *(f"{name}{row.pk}/do/{button.name}/" for button in buttons)}
        paths.add(f"{name}?q=db")
    read = 0
    for path in sorted(paths):
        answer = superuser.get(path)
        text = answer.content.decode()
        assert not [secret for secret in secrets if secret in text], path
        assert "gAAAA" not in text, f"an encrypted password: {path}"
        read += answer.status_code == 200
    assert read > 150, "the others lead elsewhere, or are none"


def test_no_answer_to_a_button_shows_a_secret_but_those_that_are_for_it(world, superuser):
    shown = {"instance.rotate", "instance.password", "account.token", "serviceaccount.token"}
    for model, button in BUTTONS:
        with undone():
            subject = subject_of(model, button)
            typed = pressed(model, button).typed(subject)
            text = superuser.post(place(model, button, subject), typed, follow=True).content.decode()
            passwords = {lifecycle.password(instance) for instance in Instance.objects.all()}
            found = [password for password in passwords if password in text] or re.findall(r"bkv_\w{46}", text)
            assert bool(found) == (f"{model._meta.model_name}.{button.name}" in shown), button


def test_a_tokens_text_is_in_one_answer_and_nowhere_else(world, superuser, caplog):
    where = f"/admin/accounts/account/{world.account.pk}/do/token/"
    answer = superuser.post(where, {"service_account": "agent", "scopes": ["db.instances.read"], "days": "7"})
    text = re.search(r"bkv_\w{46}", answer.content.decode())[0]
    assert "no-store" in answer.headers["Cache-Control"]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s', [f"%{text}%"])
            assert cursor.fetchone()[0] == 0, table
    assert text not in caplog.text
    assert text not in str(dict(superuser.session))
    assert text not in superuser.get(f"/admin/accounts/account/{world.account.pk}/change/").content.decode()
    assert text not in str(superuser.cookies)


def test_a_password_is_shown_to_those_who_may_see_it_alone(world, has_role):
    instance = Instance.objects.get(name="runs")
    where = f"/admin/instances/instance/{instance.pk}/do"
    rotated = has_role("support").post(f"{where}/rotate/", follow=True).content.decode()
    instance.refresh_from_db()
    new = lifecycle.password(instance)
    assert new not in rotated
    operator = has_role("operator")
    assert new not in operator.get(f"{where}/password/").content.decode(), "only asked"
    assert new in operator.post(f"{where}/password/").content.decode()


def test_whoever_rotates_a_password_and_may_see_it_is_shown_the_new_one_at_once(world, has_role):
    instance = Instance.objects.get(name="runs")
    old = lifecycle.password(instance)
    answer = has_role("operator").post(f"/admin/instances/instance/{instance.pk}/do/rotate/")
    page = answer.content.decode()
    instance.refresh_from_db()
    new = lifecycle.password(instance)
    assert new in page
    assert old not in page
    assert "its node takes it in a moment" in page
    assert "no-store" in answer.headers["Cache-Control"]
    written = AuditEntry.objects.filter(subject_id=str(instance.pk), actor_label="operator@example.com")
    assert list(written.order_by("id").values_list("action", flat=True)) == ["instance.rotate", "instance.reveal"]


def test_whoever_is_not_staff_stays_outside(client, world):
    client.force_login(User.objects.create_user("someone@example.com"))
    for path in ("/admin/", "/admin/instances/instance/", f"/admin/nodes/node/{Node.objects.first().pk}/do/drain/"):
        assert client.get(path).status_code == 302
        assert client.post(path).status_code == 302


def test_staff_without_a_role_see_an_empty_console(client, world):
    client.force_login(User.objects.create_user("new@example.com", is_staff=True))
    page = client.get("/admin/").content.decode()
    assert "Bring it back." not in page
    assert "Instances" not in page
    assert client.get("/admin/instances/instance/").status_code == 403


def test_everything_that_a_page_loads_comes_from_here(world, superuser):
    for path in ("/admin/", "/admin/instances/instance/", "/admin/login/"):
        page = superuser.get(path, follow=True).content.decode()
        loaded = re.findall(r'<(?:link|script|img)[^>]+(?:href|src)="([^"]+)"', page)
        assert loaded
        assert not [url for url in loaded if not url.startswith(("/static/", "/admin/", "data:"))]
