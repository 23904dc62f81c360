"""What cannot be done is said in the console's own page, with the way back; what is none of it looks like before."""

import pytest
from django.db import connection
from django.test import Client

from accounts.models import User
from accounts.roles import Role

pytestmark = pytest.mark.django_db
WAY_BACK = '<a class="bkv-button" href="/admin/">'


def test_a_page_that_a_role_may_not_see_says_so(has_role):
    answer = has_role(Role.SUPPORT).get("/admin/accounts/auditentry/")
    page = answer.content.decode()
    assert answer.status_code == 403
    assert "Your role does not let you do this" in page
    assert WAY_BACK in page
    assert "/admin/nodes/node/" in page, "the sidebar is there"


def test_a_page_that_is_not_there_says_so(superuser):
    answer = superuser.get("/admin/nothing/")
    assert answer.status_code == 404
    assert "There is no such page" in answer.content.decode()
    assert WAY_BACK in answer.content.decode()


def test_a_form_that_is_out_of_date_says_what_to_do():
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root@example.com"))
    answer = client.post("/admin/accounts/account/do/open/", {"name": "Initech"})
    assert answer.status_code == 403
    assert "nothing was done. Go back" in answer.content.decode()


def test_a_mistake_of_ours_names_the_request_and_asks_no_database_which_may_be_what_failed(superuser):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE nodes_region RENAME TO elsewhere")
    superuser.raise_request_exception = False
    answer = superuser.get("/admin/", headers={"X-Request-ID": "0f" * 16})
    page = answer.content.decode()
    assert answer.status_code == 500
    assert "Something went wrong" in page
    assert answer.headers["X-Request-ID"] in page
    assert "nodes_region" not in page


@pytest.mark.parametrize("path", ["/nothing", "/metrics"])
def test_elsewhere_there_is_no_console(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "bkv-" not in answer.content.decode()
