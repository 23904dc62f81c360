"""The processes as production runs them: how they end, and what they do while PostgreSQL or the broker is away."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings
from django.db import connection, transaction

from accounts.models import Account
from devstack import ports
from instances import tasks, wakeups
from instances.models import Instance, Operation
from tests import factories
from tests.cable import Cable
from tests.concurrency import somebody_waits_for_a_lock
from tests.control_plane import PATIENCE, ControlPlane
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def database_cable() -> Iterator[Cable]:
    with Cable(connection.settings_dict["PORT"]) as cable:
        yield cable


@pytest.fixture
def broker_cable() -> Iterator[Cable]:
    with Cable(urlsplit(settings.CELERY_BROKER_URL).port) as cable:
        yield cable


@pytest.fixture
def control_plane(tmp_path, database_cable, broker_cable) -> Iterator[ControlPlane]:
    control_plane = ControlPlane(tmp_path, database_port=database_cable.port, broker_port=broker_cable.port)
    yield control_plane
    control_plane.stop()


def create(control_plane: ControlPlane, secret: str) -> httpx.Response:
    return control_plane.ask("POST", "/instances", secret, json={"name": "db"})


def test_a_worker_that_must_end_hands_over_what_takes_too_long_and_another_finishes_it(machine, control_plane):
    machine.enroll()
    customer = factories.customer()
    ending = control_plane.worker()
    customer.client.post("/api/v1/instances", {"name": "db"}, content_type="application/json")
    machine.freeze()
    try:
        eventually(lambda: Operation.objects.get().state == "running", "the worker has it", seconds=PATIENCE)
        control_plane.worker()
        ending.send_signal(signal.SIGTERM)
        assert ending.wait(timeout=20) == 0  # the call that it has begun would last for 25
    finally:
        machine.thaw()
    # A lease would have lasted for longer.
    eventually(is_made, "the other one has made it", seconds=20)


def is_made() -> bool:
    """After the sweep that the beat would have asked for."""
    tasks.sweep()
    return Instance.objects.get().status == "running"


def test_the_web_server_answers_what_it_has_begun_before_it_ends(control_plane, broker):
    factories.node()
    customer = factories.customer(databases=5)
    beat, web = control_plane.beat(), control_plane.web()
    eventually(lambda: broker.llen("watch"), "the beat has begun", seconds=PATIENCE)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Account.objects.select_for_update().get(pk=customer.account.pk)
            answer = pool.submit(create, control_plane, customer.secret)
            eventually(somebody_waits_for_a_lock, "the request is being worked on", seconds=PATIENCE)
            web.send_signal(signal.SIGTERM)
            beat.send_signal(signal.SIGTERM)
            eventually(lambda: ports.is_free(control_plane.port), "it takes no more requests", seconds=PATIENCE)
        assert answer.result().status_code == 201
    assert web.wait(timeout=10) == 0
    assert beat.wait(timeout=10) == 0


def test_an_account_with_many_slow_requests_keeps_nobody_else_waiting(control_plane):
    factories.node()
    busy, neighbour = factories.customer(databases=5), factories.customer()
    control_plane.web()
    with ThreadPoolExecutor(20) as pool:
        with transaction.atomic():
            Account.objects.select_for_update().get(pk=busy.account.pk)
            answers = [pool.submit(create, control_plane, busy.secret) for _ in range(20)]
            eventually(somebody_waits_for_a_lock, "the first ones are being worked on", seconds=PATIENCE)
            assert create(control_plane, neighbour.secret).status_code == 201
            assert not any(answer.done() for answer in answers)
        statuses = Counter(answer.result().status_code for answer in answers)
    assert statuses == {201: 5, 429: 15}


def test_the_beat_ends_though_it_is_in_the_middle_of_a_message(control_plane, broker, broker_cable):
    beat = control_plane.beat()
    eventually(lambda: broker.llen("watch"), "the beat has begun", seconds=PATIENCE)
    broker_cable.spoil("frozen")
    eventually(lambda: broker_cable.held, "it waits for the broker's answer", seconds=PATIENCE)
    beat.send_signal(signal.SIGTERM)
    assert beat.wait(timeout=10) == 0


def test_while_postgresql_is_away_the_api_says_so_and_afterwards_it_answers(control_plane, database_cable):
    factories.node()
    customer = factories.customer(databases=5)
    control_plane.web()
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        with transaction.atomic():
            Account.objects.select_for_update().get(pk=customer.account.pk)
            broken = pool.submit(create, control_plane, customer.secret)
            eventually(somebody_waits_for_a_lock, "the request is being worked on", seconds=PATIENCE)
            database_cable.cut()
            answers = [broken.result(), create(control_plane, customer.secret)]
        for answer in answers:
            assert answer.status_code == 503
            assert answer.json()["code"] == "temporarily_unavailable"
            assert int(answer.headers["Retry-After"]) > 0
    database_cable.mend()
    # More than there are threads in the web server, each of which had a connection.
    for _ in range(12):
        assert create(control_plane, customer.secret).status_code in (201, 429)
    assert Instance.objects.count() == 5


def test_a_broker_that_is_frozen_holds_up_a_request_now_and_then_and_loses_none(control_plane, broker_cable):
    factories.node()
    customer = factories.customer()
    control_plane.web()
    assert create(control_plane, customer.secret).status_code == 201
    broker_cable.spoil("frozen")
    began = time.monotonic()
    for _ in range(12):
        assert create(control_plane, customer.secret).status_code == 201
    waits = control_plane.said("web").count("The broker does not answer")
    # Two processes, each of which is silent for a while after it has waited in vain.
    assert 1 <= waits <= 2 * ((time.monotonic() - began) / wakeups.SILENCE + 1)
    assert Operation.objects.filter(finished_at=None).count() == 13
