"""Fills the stack's database and enrols its node, in one process that loads Django while PostgreSQL starts.

Arguments: those of enroll_node. Standard input: ends when the services are up. Standard output: the steps done.
"""

import sys
import time

import django
import kombu
from django.core.management import CommandError, call_command
from django.db import connection

from basekv.celery import app
from devstack import control_plane
from devstack.console import step
from devstack.state import State

PATIENCE = 30  # seconds


def main(enrolment: list[str]) -> None:
    django.setup()
    from devstack import tenants  # its models need the line above

    state = State.chosen()
    run("collectstatic", "--no-input", "--verbosity=0")
    tenants.operator_hash(state)
    sys.stdin.read()

    check_addresses()
    with step(control_plane.MIGRATED):
        run("migrate", "--no-input")
    with step("Plans, region, demo account, token, operator"):
        tenants.seed(state)
    with step("Node enrolled over SSH"):
        run("enroll_node", *enrolment)
    with step("Worker answers"):
        wait_for_worker()


def check_addresses() -> None:
    """Those of the environment may be wrong."""
    try:
        connection.ensure_connection()
    except django.db.OperationalError as error:
        raise CommandError(f"The database at DATABASE_URL cannot be used: {error}") from None
    try:
        app.connection_for_write().ensure_connection(max_retries=1, timeout=PATIENCE).release()
    except kombu.exceptions.OperationalError as error:
        raise CommandError(f"The broker at REDIS_URL cannot be used: {error}") from None


def run(command: str, *arguments: str) -> None:
    """What it says goes to the log."""
    call_command(command, *arguments, stdout=sys.stderr, no_color=True)


def wait_for_worker() -> None:
    deadline = time.monotonic() + PATIENCE
    inspect = app.control.inspect(destination=[control_plane.WORKER], timeout=0.2, limit=1)
    while not inspect.ping():
        if time.monotonic() > deadline:
            raise CommandError(f"The worker did not answer within {PATIENCE} s.")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CommandError as error:
        sys.exit(str(error))
