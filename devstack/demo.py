"""The tour: what a customer does with BaseKV, over plain HTTP and with a real client."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import redis

from devstack.console import say, step
from devstack.errors import StackError
from devstack.ports import is_free
from devstack.processes import Service
from devstack.state import REPOSITORY, State

PATIENCE = 30.0  # seconds
POLL = 0.02
KEY, VALUE = "greeting", b"hello from the tour"


def tour(state: State) -> None:
    """Raises StackError as soon as something is not as promised."""
    with running_stack(state) as env:
        say("\nA customer's tour:")
        headers = {"Authorization": f"Bearer {env['BASEKV_TOKEN']}"}
        with httpx.Client(base_url=f"{env['BASEKV_URL']}/api/v1", headers=headers, trust_env=False) as http:
            Customer(http).walk()
    say("All as promised.")


@contextmanager
def running_stack(state: State) -> Iterator[dict[str, str]]:
    """The one that runs, or one for this tour."""
    if state.is_running():
        wait_until(state.env_file.exists, "The stack that is starting or stopping is not ready.")
        yield state.published()
        return
    say("Starting the stack for this tour")
    run = Service("run", [sys.executable, "-m", "devstack", "run"])
    process = subprocess.Popen(
        run.leashed, env=run.env, cwd=REPOSITORY, start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    try:
        relay_steps(process)
        yield state.published()
    finally:
        process.terminate()
        process.wait()


def relay_steps(process: subprocess.Popen[str]) -> None:
    """Shows them until the stack is ready. Raises StackError."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Ready"):
            return
        if line.strip():
            say(line.rstrip())
    raise StackError("The stack did not start.")


class Customer:
    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._instance = ""
        self._host = ""
        self._port = 0
        self._password = ""

    def walk(self) -> None:
        try:
            self._walk()
        finally:
            if self._instance:
                with suppress(StackError):
                    self._ask("DELETE", f"/instances/{self._instance}")

    def _walk(self) -> None:
        with step("Who am I?"):
            self._ask("GET", "/whoami")
        with step("Create a database"):
            self._instance = self._ask("POST", "/instances", json={"name": "tour"})["id"]
        with step("It is running"):
            self._wait_for("running")
        with step("Reveal its password"):
            answer = self._ask("POST", f"/instances/{self._instance}/credentials/reveal")
            self._host, self._port, self._password = answer["host"], answer["redis_port"], answer["password"]
        with step(f"SET and GET at {self._host}:{self._port}"):
            self._client(self._password).set(KEY, VALUE)
            self._find_value()
        ...
