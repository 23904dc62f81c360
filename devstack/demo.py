"""The tour: what a customer does with BaseKV, over plain HTTP and with a real client."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

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
            try:
                Customer(http).walk()
            except redis.RedisError as error:
                raise StackError(f"The database: {error}") from None
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
    """Somebody who has a URL and a token."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def walk(self) -> None:
        with step("Who am I?"):
            self._ask("GET", "/whoami")
        with step("Create a database"):
            database = self._ask("POST", "/instances", json={"name": "tour"})["id"]
        try:
            self._use(database)
        finally:
            with suppress(StackError):
                if self._status(database) not in {None, "deleting"}:
                    self._ask("DELETE", f"/instances/{database}")

    def _use(self, database: str) -> None:
        path = f"/instances/{database}"
        with step("It is running"):
            self._wait_for(database, "running")
        with step("Reveal where it is, and its password"):
            revealed = self._ask("POST", f"{path}/credentials/reveal")
            host, port, password = revealed["host"], revealed["redis_port"], revealed["password"]
        with step(f"SET and GET at {host}:{port}"):
            redis_at(host, port, password).set(KEY, VALUE)
            check_value(host, port, password)
        with step("Restart it: the data is still there"):
            self._ask("POST", f"{path}/restart")
            self._wait_for(database, "running")
            check_value(host, port, password)
        with step("Rotate its password: only the new one is accepted"):
            new_password = self._ask("POST", f"{path}/credentials/rotate")["password"]
            self._wait_for(database, "running")
            check_value(host, port, new_password)
            check_refused(host, port, password)
        with step("Delete it: its port is closed"):
            self._ask("DELETE", path)
            self._wait_for(database, None)
            wait_until(lambda: is_free(port), f"Something still listens at {host}:{port}.")

    def _wait_for(self, database: str, status: str | None) -> None:
        wait_until(lambda: self._status(database) == status, f"The database did not become {status or 'deleted'}.")

    def _status(self, database: str) -> str | None:
        """None when there is none."""
        instances = self._ask("GET", "/instances")["instances"]
        return next((instance["status"] for instance in instances if instance["id"] == database), None)

    def _ask(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """The answer. Raises StackError when it is none of success."""
        try:
            answer = self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise StackError(f"{method} {path}: {error}") from None
        if not answer.is_success:
            raise StackError(f"{method} {path} answered {answer.status_code}: {answer.text}")
        body: dict[str, Any] = answer.json()
        return body


def redis_at(host: str, port: int, password: str) -> redis.Redis:
    # By itself the client would ask again for seconds whether a refused password is meant seriously.
    return redis.Redis(host, port, password=password, socket_timeout=5, retry=Retry(NoBackoff(), 0))


def check_value(host: str, port: int, password: str) -> None:
    """Raises StackError."""
    found = redis_at(host, port, password).get(KEY)
    if found != VALUE:
        raise StackError(f"GET {KEY} answered {found!r}, and not {VALUE!r}.")


def check_refused(host: str, port: int, password: str) -> None:
    """Raises StackError."""
    try:
        redis_at(host, port, password).ping()
    except redis.AuthenticationError:
        return
    raise StackError("The old password is still accepted.")


def wait_until(happened: Callable[[], bool], otherwise: str) -> None:
    """Raises StackError."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            raise StackError(f"{otherwise} Waited {PATIENCE:.0f} s.")
        time.sleep(POLL)
