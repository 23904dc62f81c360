"""An encryption key can be replaced while everything goes on, and the old one retired when it is said to be unused."""

import json
import threading
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection

from accounts import encryption
from accounts.actors import SYSTEM
from accounts.models import SecondFactor, User
from instances import lifecycle, reencryption
from instances.models import Instance
from tests import factories

pytestmark = pytest.mark.django_db
OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


def reencrypt():
    out = StringIO()
    try:
        call_command("reencrypt", "--json", stdout=out)
    except SystemExit as ended:
        return ended.code, json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


@pytest.fixture
def many(settings):
    """Databases, one of them in the middle of a rotation, and an operator's second factor; then a new key."""
    settings.BASEKV_ENCRYPTION_KEYS = [OLD]
    factories.node()
    for number in range(5):
        lifecycle.create(
            account_id=factories.customer().account.pk,
            by=SYSTEM,
            max_databases=None,
            max_storage_mb=32,
            name=f"db {number}",
            region=None,
            protocol="redis",
            log_level="info",
        )
    Instance.objects.update(status="running")
    lifecycle.rotate(Instance.objects.get(name="db 0"), by=SYSTEM)
    SecondFactor.objects.create(
        user=User.objects.create_user("a@example.com"), secret_encrypted=encryption.encrypt("s")
    )
    settings.BASEKV_ENCRYPTION_KEYS = [NEW, OLD]


def stored():
    return [
        text
        for model, field in reencryption.FIELDS
        for text in model._default_manager.exclude(**{field: ""}).values_list(field, flat=True)
    ]


def secrets():
    return sorted(map(encryption.decrypt, stored()))


def test_afterwards_the_new_key_is_enough_and_every_secret_is_what_it_was(many, settings):
    before = secrets()
    assert reencrypt() == (0, {"secrets": 7, "replaced": 7, "left": 0, "unreadable": [], "old_keys_needed": False})
    settings.BASEKV_ENCRYPTION_KEYS = [NEW]
    assert secrets() == before


def test_a_second_run_replaces_nothing(many):
    reencrypt()
    before = stored()
    status, found = reencrypt()
    assert (status, found["replaced"], stored()) == (0, 0, before)


def test_every_field_that_is_encrypted_has_its_line():
    encrypted = {
        (model, field.name)
        for model in apps.get_models()
        for field in model._meta.fields
        if field.name.endswith("_encrypted")
    }
    assert encrypted == set(reencryption.FIELDS)


def test_one_that_was_stopped_goes_on_where_it_was(many, monkeypatch):
    monkeypatch.setattr(reencryption, "BATCH", 2)

    def stop(seen):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reencryption.run(stop)
    status, found = reencrypt()
    assert (status, found["replaced"], found["left"]) == (0, 5, 0)


def test_what_no_key_decrypts_is_named_and_the_others_are_done(many):
    lost = Instance.objects.get(name="db 3")
    Instance.objects.filter(pk=lost.pk).update(password_encrypted=Fernet(Fernet.generate_key()).encrypt(b"x").decode())
    status, found = reencrypt()
    assert (status, found["replaced"], found["old_keys_needed"]) == (3, 6, False)
    assert found["unreadable"] == [{"model": "instances.Instance", "id": str(lost.pk), "field": "password_encrypted"}]


def test_a_password_that_a_rotation_moves_meanwhile_is_found_in_its_new_place(many, settings, monkeypatch):
    """And the new one, by a web server that has the old list of keys yet, is not overwritten."""
    moved = Instance.objects.get(name="db 4")
    replace = reencryption.replace_old

    def rotate_between_read_and_write(model, field, rows, seen):
        if not told:
            settings.BASEKV_ENCRYPTION_KEYS = [OLD]
            told.append(lifecycle.rotate(moved, by=SYSTEM))
            settings.BASEKV_ENCRYPTION_KEYS = [NEW, OLD]
        replace(model, field, rows, seen)

    told: list[str] = []
    before = secrets()
    monkeypatch.setattr(reencryption, "replace_old", rotate_between_read_and_write)
    status, found = reencrypt()
    assert (status, found["left"]) == (0, 0)
    settings.BASEKV_ENCRYPTION_KEYS = [NEW]
    assert secrets() == sorted([*before, *told])
    moved.refresh_from_db()
    assert encryption.decrypt(moved.password_encrypted) == told[0]


@pytest.mark.django_db(transaction=True)
def test_under_rotations_without_end_no_password_is_lost(transactional_db, many, settings):
    stop = threading.Event()
    told: dict[str, str] = {}

    def rotate_all():
        while not stop.is_set():
            for instance in Instance.objects.filter(status="running"):
                told[instance.name] = lifecycle.rotate(instance, by=SYSTEM)
            # As the node's word would.
            Instance.objects.update(status="running", previous_password_encrypted="")
        connection.close()

    rotating = threading.Thread(target=rotate_all)
    rotating.start()
    try:
        runs = 0
        while runs < 5 or (len(told) < Instance.objects.count() and rotating.is_alive()):
            assert reencrypt()[0] == 0
            runs += 1
    finally:
        stop.set()
        rotating.join()
    settings.BASEKV_ENCRYPTION_KEYS = [NEW]
    for instance in Instance.objects.all():
        assert encryption.decrypt(instance.password_encrypted) == told[instance.name]


def test_an_old_key_that_is_still_written_with_is_said_to_be_needed(many, settings, monkeypatch):
    monkeypatch.setattr(encryption, "encrypt", lambda secret: Fernet(OLD).encrypt(secret.encode()).decode())
    status, found = reencrypt()
    assert (status, found["old_keys_needed"], found["left"]) == (3, True, 7)


@pytest.mark.parametrize("keys", [[], ["no key"]])
def test_a_list_of_keys_that_is_none_is_a_mistake(many, settings, keys):
    settings.BASEKV_ENCRYPTION_KEYS = keys
    with pytest.raises(CommandError, match="BASEKV_ENCRYPTION_KEYS"):
        reencrypt()
