"""The table of roles, cell by cell: each button, for one and for many, is pressed by each role. Whoever may, does it;
whoever may not, does not see it, is refused when pressing it anyway, and has changed nothing in the database."""

import pytest
from django.contrib import admin

from accounts.models import User
from accounts.roles import Role, permissions_of
from basekv.console.page import address, listed
from tests.console.pressing import (
    BULK_BUTTONS,
    BUTTONS,
    LIST_BUTTONS,
    PRESSED,
    everything,
    name_of,
    place,
    pressed,
    subject_of,
    undone,
    was_done_by,
)

pytestmark = pytest.mark.django_db
SUPERUSER = "superuser"
EVERYBODY = [*Role, SUPERUSER]


@pytest.fixture
def staff(world, has_role, signed_in):
    """A client for each of them, whose session was just written."""

    def client(who):
        found = signed_in("superuser@example.com", is_superuser=True) if who == SUPERUSER else has_role(who)
        assert found.get("/admin/jsi18n/").status_code == 200
        return found

    return client


def may(who, button):
    return who == SUPERUSER or button.permission in permissions_of(who)


def test_the_table_of_buttons_is_complete():
    assert set(PRESSED) == {f"{model._meta.model_name}.{button.name}" for model, button in BUTTONS + LIST_BUTTONS}


@pytest.mark.parametrize("model, button", BUTTONS, ids=name_of)
def test_each_role_presses_each_button(staff, model, button):
    subject = subject_of(model, button)
    press(staff, model, button, subject, seen_at=address(subject))


@pytest.mark.parametrize("model, button", LIST_BUTTONS, ids=name_of)
def test_each_role_presses_each_button_of_a_list(staff, model, button):
    press(staff, model, button, None, seen_at=listed(model))


def press(staff, model, button, subject, *, seen_at):
    where, typed = place(model, button, subject), pressed(model, button).typed(subject)
    for who in EVERYBODY:
        with undone():
            client = staff(who)
            before = everything()
            assert (where in client.get(seen_at).content.decode()) == may(who, button), who
            assert client.get(where).status_code == (200 if may(who, button) else 403), who
            assert everything() == before, who
            answer = client.post(where, typed)
            if may(who, button):
                assert answer.status_code in {200, 302}, who
                assert was_done_by(f"{who}@example.com", model, button), who
            else:
                assert answer.status_code == 403, who
                assert everything() == before, who


@pytest.mark.parametrize("model, button", BULK_BUTTONS, ids=name_of)
def test_each_role_presses_each_button_for_many(staff, model, button):
    chosen = {"action": button.name, "_selected_action": [row.pk for row in model.objects.all()]}
    for who in EVERYBODY:
        with undone():
            client = staff(who)
            before = everything()
            offered = f'<option value="{button.name}">' in client.get(listed(model)).content.decode()
            assert offered == may(who, button), who
            asked = client.post(listed(model), chosen)
            assert asked.status_code == (200 if may(who, button) else 403), who
            assert everything() == before, f"{who} was only asked"
            answer = client.post(listed(model), chosen | {"sure": "1"})
            if may(who, button):
                assert answer.status_code == 302, who
                assert was_done_by(f"{who}@example.com", model, button), who
            else:
                assert answer.status_code == 403, who
                assert everything() == before, who


@pytest.mark.parametrize("model", admin.site._registry, ids=name_of)
def test_no_role_adds_changes_or_deletes_by_the_addresses_that_every_admin_has(staff, model):
    row = model.objects.first()
    where = listed(model)
    for role in Role:
        with undone():
            client = staff(role)
            before = everything()
            fields = {"name": "Changed", "email": "changed@example.com", "is_superuser": "on", "slug": "changed"}
            refused = [client.post(f"{where}add/", fields), client.get(f"{where}add/")]
            refused += [client.post(f"{where}{row.pk}/change/", fields)] if row else []
            refused += [client.post(f"{where}{row.pk}/delete/", {"post": "yes"})] if row else []
            refused += [client.get(f"{where}{row.pk}/delete/")] if row else []
            assert [answer.status_code for answer in refused] == [403] * len(refused), role
            chosen = {"action": "delete_selected", "_selected_action": [row.pk] if row else [], "post": "yes"}
            assert client.post(where, chosen).status_code in {403, 404}, role
            assert everything() == before, role


def test_no_role_gives_anybody_another_password_or_more_rights(staff):
    person = User.objects.create_user("someone@example.com", is_staff=True)
    for role in Role:
        with undone():
            client = staff(role)
            before = everything()
            for page in ("password", "change"):
                where = f"/admin/accounts/user/{person.pk}/{page}/"
                form = {"password1": "a long enough one 9", "password2": "a long enough one 9", "is_superuser": "on"}
                assert client.post(where, form).status_code == 403, role
            assert everything() == before, role
