"""The console's door: who is kept out, for how long, and what a session is worth."""

import os
import subprocess
import sys
import time

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import people, sessions, throttle
from accounts.actors import SYSTEM
from accounts.models import AuditEntry, User
from accounts.roles import Role
from accounts.session_store import SessionStore
from tests.concurrency import at_once

pytestmark = pytest.mark.django_db
EMAIL, PASSWORD = "ops@example.com", "correct horse battery"
LOGIN, CONSOLE = "/admin/login/", "/admin/"
WRONG = "do not open the console"


@pytest.fixture
def person():
    return User.objects.create_superuser(EMAIL, PASSWORD)


@pytest.fixture(autouse=True)
def quick_hashes(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def sign_in(client, password=PASSWORD, email=EMAIL, address="192.0.2.1", **extra):
    return client.post(LOGIN, {"username": email, "password": password}, REMOTE_ADDR=address, **extra)


def inside(client):
    return client.get(CONSOLE).status_code == 200


def said(answer):
    return " ".join(answer.context["form"].non_field_errors())


def actions():
    return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


def test_the_right_password_opens_the_console_where_one_was_going(client, person):
    answer = client.post(LOGIN + "?next=/admin/nodes/node/", {"username": "OPS@example.com", "password": PASSWORD})
    assert answer.headers["Location"] == "/admin/nodes/node/"
    assert inside(client)


def test_nobody_is_led_to_another_site(client, person):
    answer = client.post(LOGIN + "?next=https://evil.example/", {"username": EMAIL, "password": PASSWORD})
    assert answer.headers["Location"] == CONSOLE


def test_the_answer_does_not_tell_whether_there_is_such_a_person(client, person):
    User.objects.create_user("customer@example.com", PASSWORD)
    User.objects.create_superuser("gone@example.com", PASSWORD, is_active=False)
    for email in (EMAIL, "nobody@example.com"):
        assert WRONG in said(sign_in(client, "wrong", email))
    for email in ("customer@example.com", "gone@example.com"):
        assert WRONG in said(sign_in(client, PASSWORD, email))
    assert not inside(client)


def test_who_came_in_who_did_not_and_who_left_is_written_down(client, person):
    sign_in(client, "wrong", address="198.51.100.3")
    sign_in(client, address="198.51.100.3")
    client.post("/admin/logout/")
    assert actions() == ["user.sign_in_failed", "user.sign_in", "user.sign_out"]
    failed = AuditEntry.objects.get(action="user.sign_in_failed")
    assert (failed.actor_label, failed.address, failed.subject_id) == (EMAIL, "198.51.100.3", str(person.pk))


def test_a_password_typed_where_the_email_belongs_is_not_written_down(client, person):
    sign_in(client, email=PASSWORD)
    assert PASSWORD not in str(list(AuditEntry.objects.values()))


class TestThrottle:
    def test_too_many_failures_keep_out_even_the_right_password(self, client, person):
        for _ in range(throttle.FAILURES_OF_ONE):
            assert WRONG in said(sign_in(client, "wrong"))
        assert "Try again in 15 minutes" in said(sign_in(client))
        assert not inside(client)

    def test_nobody_is_kept_out_by_what_others_do_from_elsewhere(self, client, person):
        for _ in range(throttle.FAILURES_OF_ONE):
            sign_in(client, "wrong", address="203.0.113.66")
        assert sign_in(client, address="192.0.2.1").status_code == 302

    def test_it_passes(self, client, person, monkeypatch):
        for _ in range(throttle.FAILURES_OF_ONE):
            sign_in(client, "wrong")
        monkeypatch.setattr(throttle, "WINDOW", throttle.WINDOW * 0)
        assert sign_in(client).status_code == 302

    def test_getting_in_counts_anew(self, client, person):
        for _ in range(2):
            for _ in range(throttle.FAILURES_OF_ONE - 1):
                sign_in(client, "wrong")
            assert sign_in(client).status_code == 302

    def test_one_password_cannot_be_tried_on_everybody(self, client, person, monkeypatch):
        monkeypatch.setattr(throttle, "FAILURES_OF_ALL", 7)
        for number in range(7):
            sign_in(client, "Summer2026", f"person-{number}@example.com")
        assert "Too many" in said(sign_in(client, "Summer2026", "person-8@example.com"))

    def test_an_ipv6_client_has_one_address_however_many_it_has(self, client, person):
        for number in range(throttle.FAILURES_OF_ONE):
            sign_in(client, "wrong", address=f"2001:db8::{number + 1}")
        assert "Too many" in said(sign_in(client, address="2001:db8::ffff"))
        assert sign_in(client, address="2001:db8:1::1").status_code == 302

    @pytest.mark.django_db(transaction=True)
    def test_of_many_guesses_at_once_no_more_are_looked_at_than_one_after_the_other(self, person):
        at_once([lambda: sign_in(Client(), "wrong")] * 12)
        assert AuditEntry.objects.filter(action="user.sign_in_failed").count() <= throttle.FAILURES_OF_ONE


class TestSession:
    @pytest.fixture
    def inside(self, client, person):
        sign_in(client)
        return client

    def lives(self, client):
        return client.get(CONSOLE).status_code == 200

    def test_signing_in_again_makes_a_new_one(self, inside):
        before = inside.cookies["sessionid"].value
        sign_in(inside)
        assert inside.cookies["sessionid"].value != before
        assert not SessionStore().exists(before)

    def test_the_database_does_not_have_what_opens_it(self, inside):
        key = inside.cookies["sessionid"].value
        assert SessionStore().exists(key)
        [row] = Session.objects.all()
        assert key not in f"{row.session_key} {row.session_data} {row.get_decoded()}"
        thief = Client()
        thief.cookies["sessionid"] = row.session_key
        assert not self.lives(thief)

    def test_a_cookie_planted_before_is_worth_nothing_after(self, client, person):
        client.get(LOGIN)
        client.cookies["sessionid"] = "planted0planted0planted0planted0"
        sign_in(client)
        assert client.cookies["sessionid"].value != "planted0planted0planted0planted0"

    @pytest.mark.parametrize("limit", [sessions.LONGEST_IDLE, sessions.LONGEST])
    def test_it_ends_by_itself(self, inside, monkeypatch, limit):
        started = time.time()
        step = sessions.LONGEST_IDLE // 2 if limit == sessions.LONGEST else limit + 1
        for passed in range(step, limit, step):
            monkeypatch.setattr(sessions, "time", lambda passed=passed: started + passed)
            assert self.lives(inside)
        monkeypatch.setattr(sessions, "time", lambda: started + limit + 5)
        assert not self.lives(inside)

    def test_looking_around_writes_it_once_a_minute_at_most(self, inside):
        with CaptureQueriesContext(connection) as queries:
            self.lives(inside)
            self.lives(inside)
        assert not [query for query in queries if query["sql"].startswith(("UPDATE", "INSERT"))]

    def test_all_but_ones_own_end_with_a_new_password(self, inside, person):
        elsewhere = Client()
        sign_in(elsewhere)
        answer = inside.post(
            "/admin/password_change/",
            {"old_password": PASSWORD, "new_password1": "another good one 7", "new_password2": "another good one 7"},
        )
        assert answer.status_code == 302
        assert (self.lives(inside), self.lives(elsewhere)) == (True, False)
        entry = AuditEntry.objects.get(action="user.change_password")
        assert (entry.actor_label, entry.changes) == (EMAIL, {"password": [None, "changed"]})

    def test_all_end_with_a_deactivation_and_do_not_come_back(self, inside, person):
        boss = Client()
        User.objects.create_superuser("boss@example.com", PASSWORD)
        sign_in(boss, email="boss@example.com")
        page = f"/admin/accounts/user/{person.pk}/change/"
        form = boss.get(page).context["adminform"].form
        data = {name: value for name in form.fields if (value := form[name].value()) is not None}
        data |= {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00", "groups": []}
        data.pop("last_login", None)
        answer = boss.post(page, {**data, "is_active": ""})
        assert answer.status_code == 302, answer.context["adminform"].form.errors
        assert not self.lives(inside)
        User.objects.filter(pk=person.pk).update(is_active=True)
        assert not self.lives(inside)
        assert AuditEntry.objects.get(action="user.change").changes["is_active"] == [True, False]

    def test_cookies_are_not_for_scripts_nor_for_other_sites(self, client, person):
        client.get(LOGIN)
        answer = sign_in(client)
        for name, same_site in (("sessionid", "Lax"), ("csrftoken", "Strict")):
            cookie = answer.cookies[name]
            assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, same_site, "/")
            assert not cookie["domain"]

    def test_under_https_they_belong_to_this_host_alone(self):
        names = [f"{kind}_COOKIE_{what}" for what in ("NAME", "SECURE") for kind in ("SESSION", "CSRF")]
        program = f"from django.conf import settings; print(*(getattr(settings, name) for name in {names}))"
        shown = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "BASEKV_HTTPS": "1"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert shown.split() == ["__Host-session", "__Host-csrf", "True", "True"]


class TestFirstPassword:
    """One that somebody else knows opens the page where it is changed, and no other."""

    PAGE = "/admin/password_change/"
    OWN = {"new_password1": "another good one 7", "new_password2": "another good one 7"}

    @pytest.fixture
    def newcomer(self, client):
        person, password = people.create("new@example.com", Role.OPERATOR, by=SYSTEM)
        sign_in(client, password, person.email)
        return password

    def test_it_is_changed_before_anything_else(self, client, newcomer):
        for path in (CONSOLE, "/admin/nodes/node/", "/admin/second-factor/", "/admin/nothing/"):
            assert client.get(path).headers.get("Location") == self.PAGE, path
            assert client.post(path).headers.get("Location") == self.PAGE, path
        assert "Choose one of your own" in client.get(self.PAGE).content.decode()
        assert client.post(self.PAGE, {"old_password": newcomer, **self.OWN}).status_code == 302
        assert inside(client)
        assert "Choose one of your own" not in client.get(self.PAGE).content.decode()

    def test_whoever_signs_out_finds_it_unchanged(self, client, newcomer):
        client.post("/admin/logout/")
        sign_in(client, newcomer, "new@example.com")
        assert not inside(client)

    def test_a_second_factor_comes_after_it(self, client, newcomer, settings):
        settings.BASEKV_REQUIRE_2FA = True
        assert client.get(CONSOLE).headers["Location"] == self.PAGE
        client.post(self.PAGE, {"old_password": newcomer, **self.OWN})
        assert client.get(CONSOLE).headers["Location"] == "/admin/second-factor/"

    def test_one_that_a_superuser_gave_is_one_too(self, client, person):
        sign_in(client)
        client.post(
            "/admin/accounts/user/add/",
            {"email": "b@example.com", "password1": "a good one 97", "password2": "a good one 97"},
        )
        User.objects.filter(email="b@example.com").update(is_staff=True)
        other = Client()
        sign_in(other, "a good one 97", "b@example.com")
        assert other.get(CONSOLE).headers["Location"] == self.PAGE
        other.post(self.PAGE, {"old_password": "a good one 97", **self.OWN})
        pk = User.objects.get(email="b@example.com").pk
        client.post(
            f"/admin/accounts/user/{pk}/password/", {"password1": "lost and found 5", "password2": "lost and found 5"}
        )
        sign_in(other, "lost and found 5", "b@example.com")
        assert other.get(CONSOLE).headers["Location"] == self.PAGE
        assert inside(client), "the superuser's own is not"
