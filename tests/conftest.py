"""Django's settings come from the environment, so it is set here, and Django with it.

The suite runs in several processes (pytest-xdist). The one that hands out the tests has the services, and the others
inherit its environment; pytest-django gives each a database of its own.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
import pytest
import redis
from django.conf import settings

from tests.scheduling import Scheduling
from tests.services import Services

if TYPE_CHECKING:
    from tests.local_node import Machine

services = None if "PYTEST_XDIST_WORKER" in os.environ else Services()
if services:
    os.environ.update(services.environment)
else:
    # A number of the broker's databases for each process, so that no worker takes the messages of another one's test.
    # pytest-django has read the settings by now.
    number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")) + 1
    os.environ["REDIS_URL"] = os.environ["REDIS_URL"].rpartition("/")[0] + f"/{number}"
    settings.CELERY_BROKER_URL = os.environ["REDIS_URL"]
django.setup()


def pytest_sessionstart(session: pytest.Session) -> None:
    if services:
        services.start()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if services:
        services.stop()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What a test has to tell beside that it passed (record_property "summary")."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == "summary" and report.when == "call":
                terminalreporter.write_line(str(text))


@pytest.fixture
def machine(tmp_path: Path) -> "Iterator[Machine]":
    """Up, and not enrolled yet."""
    from nodes import transport
    from tests.local_node import Machine

    machine = Machine(tmp_path / "machine")
    machine.boot()
    yield machine
    transport.close()
    machine.shut_down()
    machine.give_back()


@pytest.fixture
def broker() -> Iterator[redis.Redis]:
    """Empty."""
    with redis.Redis.from_url(settings.CELERY_BROKER_URL) as broker:
        broker.flushdb()
        yield broker


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """A test that commits is cleaned up after by TRUNCATE, which the audit trail refuses."""
    from django.db import connection

    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_auditentry DISABLE TRIGGER accounts_audit_no_truncate")
