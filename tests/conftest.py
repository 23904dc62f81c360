"""Django's settings come from the environment, so it is set here, and Django with it."""

import os

import django
import pytest

from tests.services import Services

services = Services()
os.environ.update(services.environment)
django.setup()


def pytest_sessionstart(session: pytest.Session) -> None:
    services.start()


def pytest_sessionfinish(session: pytest.Session) -> None:
    services.stop()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """A test that commits is cleaned up after by TRUNCATE, which the audit trail refuses."""
    from django.db import connection

    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_auditentry DISABLE TRIGGER accounts_audit_no_truncate")
