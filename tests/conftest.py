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
