"""The second factor, as somebody with an authenticator app meets it."""

import re
import time
from io import StringIO

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from accounts import sign_in as door
from accounts import throttle, two_factor
from accounts.actors import SYSTEM
from accounts.errors import TooManyCodes, WrongCode
from accounts.models import AuditEntry, SecondFactor, User
from tests.concurrency import at_once

pytestmark = pytest.mark.django_db
EMAIL, PASSWORD = "ops@example.com", "correct horse battery"
LOGIN, CODE, PAGE, CONSOLE = "/admin/login/", "/admin/login/code/", "/admin/second-factor/", "/admin/"


class Phone:
    """An authenticator app; each code that it shows is of a later time step, so that no test waits for one."""

    def __init__(self, monkeypatch, key: bytes) -> None:
        self.totp = TOTP(key, 6, SHA1(), 30)
        self.now, self.monkeypatch = time.time(), monkeypatch

    def code(self) -> str:
        self.now += 30
        self.monkeypatch.setattr(two_factor, "time", lambda: self.now)
        return self.totp.generate(self.now).decode()


@pytest.fixture(autouse=True)
def quick_hashes(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def person():
    return User.objects.create_superuser(EMAIL, PASSWORD)


def sign_in(client, address="192.0.2.1"):
    return client.post(LOGIN, {"username": EMAIL, "password": PASSWORD}, REMOTE_ADDR=address)


def give(client, code, address="192.0.2.1"):
    return client.post(CODE, {"code": code}, REMOTE_ADDR=address)


def inside(client):
    return client.get(CONSOLE).status_code == 200


@pytest.fixture
def enrolled(person, monkeypatch):
    """Somebody whose second factor is on, their phone and their recovery codes."""
    two_factor.begin(person)
    phone = Phone(monkeypatch, two_factor.key(SecondFactor.objects.get()))
    codes = two_factor.confirm(person, phone.code(), by=SYSTEM)
    return person, phone, codes


def test_it_is_set_up_in_the_console_and_asked_for_from_then_on(client, person, monkeypatch):
    elsewhere = Client()
    sign_in(elsewhere)
    sign_in(client)
    client.post(PAGE, {"action": "begin", "password": PASSWORD})
    shown = client.get(PAGE)
    assert "<svg" in shown.content.decode()
    secret = re.search(r"<code>([A-Z2-7]{32})</code>", shown.content.decode())[1]
    phone = Phone(monkeypatch, two_factor.base64.b32decode(secret))
    shown = client.post(PAGE, {"action": "confirm", "code": phone.code()})
    codes = re.findall(r"^(?: *<pre[^>]*>)?([a-z2-7]{4}(?:-[a-z2-7]{4}){3})$", shown.content.decode(), re.MULTILINE)
    assert len(codes) == 10
    assert inside(client), "the one who did it stays"
    assert not inside(elsewhere), "a session without a code has ended"
    assert secret not in client.get(PAGE).content.decode(), "shown no more"
    assert codes[0] not in client.get(PAGE).content.decode()

    other = Client()
    assert sign_in(other).headers["Location"] == CODE
    assert not inside(other), "the password alone opens nothing"
    assert give(other, phone.code()).status_code == 302
    assert inside(other)


def test_setting_it_up_asks_for_the_password_again(client, person):
    sign_in(client)
    answer = client.post(PAGE, {"action": "begin", "password": "wrong"})
    assert "not your password" in str(answer.context["form"].errors)
    assert not SecondFactor.objects.exists()


def test_a_wrong_code_does_not_turn_it_on(client, person):
    sign_in(client)
    client.post(PAGE, {"action": "begin", "password": PASSWORD})
    client.post(PAGE, {"action": "confirm", "code": "000000"})
    assert not two_factor.is_on(person)
    assert sign_in(Client()).headers["Location"] == CONSOLE


def test_a_look_at_the_page_changes_nothing(client, person):
    sign_in(client)
    client.get(PAGE)
    assert not SecondFactor.objects.exists()


def test_a_code_is_good_once(enrolled):
    person, phone, _ = enrolled
    code = phone.code()
    two_factor.check(person, code, by=SYSTEM)
    with pytest.raises(WrongCode):
        two_factor.check(person, code, by=SYSTEM)


def test_a_clock_may_be_off_by_half_a_minute_and_no_more(enrolled, monkeypatch):
    person, phone, _ = enrolled
    code, shown_at = phone.code(), phone.now
    for off in (90, -90):
        monkeypatch.setattr(two_factor, "time", lambda off=off: shown_at + off)
        with pytest.raises(WrongCode):
            two_factor.check(person, code, by=SYSTEM)
    monkeypatch.setattr(two_factor, "time", lambda: shown_at + 30)
    two_factor.check(person, code, by=SYSTEM)


def test_a_recovery_code_is_good_once_however_it_is_typed(client, enrolled):
    _, _, codes = enrolled
    sign_in(client)
    give(client, f"  {codes[0].replace('-', ' ').upper()} ")
    assert inside(client)
    other = Client()
    sign_in(other)
    give(other, codes[0])
    assert not inside(other)


@pytest.mark.django_db(transaction=True)
def test_of_two_that_show_the_same_code_at_once_one_gets_in(enrolled):
    person, phone, codes = enrolled

    def tried(code):
        try:
            two_factor.check(person, code, by=SYSTEM)
        except WrongCode:
            return False
        return True

    for code in (codes[0], phone.code()):
        assert sorted(at_once([lambda code=code: tried(code)] * 4)) == [False, False, False, True]


def test_guessing_gets_slower_and_a_recovery_code_still_lets_in(enrolled):
    person, phone, codes = enrolled
    for _ in range(two_factor.FREE_TRIES):
        with pytest.raises(WrongCode):
            two_factor.check(person, "000000", by=SYSTEM)
    with pytest.raises(TooManyCodes, match="seconds"):
        two_factor.check(person, phone.code(), by=SYSTEM)
    two_factor.check(person, codes[0], by=SYSTEM)


def test_guessing_from_one_address_ends_there(client, enrolled):
    _, phone, codes = enrolled
    sign_in(client)
    for _ in range(throttle.FAILURES_OF_ONE):
        give(client, "aaaa-aaaa-aaaa-aaaa")
    assert "Too many failed" in str(give(client, codes[0]).context["form"].errors)
    other = Client()
    sign_in(other, "198.51.100.9")
    give(other, phone.code(), "198.51.100.9")
    assert inside(other)


def test_the_step_between_password_and_code_does_not_last(client, enrolled, monkeypatch):
    _, phone, _ = enrolled
    sign_in(client)
    now = time.time()
    monkeypatch.setattr(door, "time", lambda: now + door.PATIENCE + 1)
    assert give(client, phone.code()).headers["Location"] == LOGIN


def test_new_recovery_codes_make_the_old_ones_worthless(client, enrolled):
    person, phone, codes = enrolled
    sign_in(client)
    give(client, phone.code())
    shown = client.post(PAGE, {"action": "renew", "code": phone.code()}).content.decode()
    assert codes[0] not in shown
    with pytest.raises(WrongCode):
        two_factor.check(person, codes[0], by=SYSTEM)


def test_turning_it_off_takes_a_code(client, enrolled):
    person, phone, _ = enrolled
    sign_in(client)
    give(client, phone.code())
    client.post(PAGE, {"action": "disable", "code": "000000"})
    assert two_factor.is_on(person)
    client.post(PAGE, {"action": "disable", "code": phone.code()})
    assert not two_factor.is_on(person)
    assert inside(client)


def test_neither_secret_nor_codes_are_in_the_database(enrolled):
    _, _, codes = enrolled
    secret = two_factor.secret(SecondFactor.objects.get())
    with connection.cursor() as cursor:
        for table in ("secondfactor", "recoverycode", "auditentry"):
            cursor.execute(f"SELECT t::text FROM accounts_{table} t")
            rows = str(cursor.fetchall())
            for text in (secret, codes[0], codes[0].replace("-", "")):
                assert text not in rows


def test_an_operator_resets_it_for_somebody_who_lost_the_phone(client, enrolled):
    _, phone, _ = enrolled
    sign_in(client)
    give(client, phone.code())
    call_command("reset_two_factor", EMAIL.upper(), stdout=StringIO())
    assert not inside(client), "whoever has the phone is out"
    assert sign_in(client).headers["Location"] == CONSOLE
    assert AuditEntry.objects.get(action="user.reset_two_factor").actor_kind == "command"
    with pytest.raises(CommandError, match="create_operator"):
        call_command("reset_two_factor", "nobody@example.com")


class TestRequired:
    @pytest.fixture(autouse=True)
    def required(self, settings):
        settings.BASEKV_REQUIRE_2FA = True

    def test_without_one_there_is_only_the_page_that_sets_it_up(self, client, person, monkeypatch):
        sign_in(client)
        for path in (CONSOLE, "/admin/nodes/node/", "/admin/password_change/", "/admin/nothing/"):
            assert client.get(path).headers.get("Location") == PAGE, path
            assert client.post(path).headers.get("Location") == PAGE, path
        assert client.get(PAGE).status_code == 200
        client.post(PAGE, {"action": "begin", "password": PASSWORD})
        phone = Phone(monkeypatch, two_factor.key(SecondFactor.objects.get()))
        client.post(PAGE, {"action": "confirm", "code": phone.code()})
        assert inside(client)

    def test_with_one_the_console_opens(self, client, enrolled):
        _, phone, _ = enrolled
        sign_in(client)
        give(client, phone.code())
        assert inside(client)

    def test_the_api_and_its_docs_are_open_as_ever(self, client, person):
        sign_in(client)
        assert client.get("/api/docs/").status_code == 200
