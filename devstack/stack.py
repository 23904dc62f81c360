"""The stack: everything up, as much as possible at once; and everything down, in order."""

import asyncio
import os
import shutil
import signal
import sys
import time

import httpx

from devstack import control_plane, environment, leftovers, ports, welcome
from devstack.console import say, step
from devstack.errors import StackError
from devstack.node import Node
from devstack.postgres import Postgres
from devstack.processes import Service, Supervisor, until
from devstack.state import State
from devstack.valkey import Valkey

STOP_SIGNALS = [signal.SIGINT, signal.SIGTERM]
if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is under nohup
    STOP_SIGNALS.append(signal.SIGHUP)


def run(state: State) -> None:
    """Until Ctrl-C or SIGTERM. Raises StackError."""
    if not shutil.which("setpriv"):
        raise StackError("setpriv is missing: install the package util-linux.")
    state.claim()
    leftovers.clear(state)
    try:
        asyncio.run(Stack(state, ports.web_port()).live())
    finally:
        leftovers.clear(state)


class Stack:
    def __init__(self, state: State, port: int) -> None:
        self._state = state
        self._port = port
        self._node = Node(state)
        postgres, valkey = Postgres(state), Valkey(state)
        database_url = environment.elsewhere("DATABASE_URL", postgres.url)
        redis_url = environment.elsewhere("REDIS_URL", valkey.url)
        self._engines: list[Node | Postgres | Valkey] = [self._node]
        if not database_url:
            self._engines.append(postgres)
        if not redis_url:
            self._engines.append(valkey)
        self._settings = environment.settings(
            state, database_url=database_url or postgres.url, redis_url=redis_url or valkey.url
        )
        self._env = {**os.environ, **self._settings}

    async def live(self) -> None:
        """Until it is asked to stop. Raises StackError when it does not come up, or one of its services ends."""
        began = time.monotonic()
        cancel_on_signal()
        try:
            async with Supervisor(self._state) as supervisor:
                try:
                    await self._bring_up(supervisor)
                    published = {**environment.users(self._state, self._port), **self._settings}
                    self._state.publish(published)
                    welcome.say_where(self._state, published, time.monotonic() - began)
                    await asyncio.Event().wait()
                finally:
                    self._state.env_file.unlink(missing_ok=True)
        except asyncio.CancelledError:
            pass
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _bring_up(self, supervisor: Supervisor) -> None:
        start, tasks = supervisor.start, supervisor.tasks
        engines_up, migrated = asyncio.Event(), asyncio.Event()

        def hear(line: str) -> None:
            say(line)
            if control_plane.MIGRATED in line:
                migrated.set()

        # It loads Django while the engines start.
        seeded = tasks.create_task(supervisor.converse(self._seed(), after=engines_up, hear=hear))
        await asyncio.wait([tasks.create_task(engine.start(supervisor)) for engine in self._engines])
        engines_up.set()
        await migrated.wait()
        await start(control_plane.worker(self._env))
        await start(control_plane.web(environment.without_ssh_key(self._env), self._port))
        api_answers = tasks.create_task(self._api_answers())
        await seeded
        self._node.forget_bootstrap_key()
        await start(control_plane.watcher(self._env))
        await start(control_plane.beat(self._env))
        await api_answers

    def _seed(self) -> Service:
        env = {**self._env, "BASEKV_STATE": str(self._state.root)}
        command = [sys.executable, "-m", "devstack.seed", *self._node.enrolment()]
        return Service("seed", command, env=env)

    async def _api_answers(self) -> None:
        with step("API answers"):
            async with httpx.AsyncClient(base_url=environment.url(self._port), trust_env=False) as client:
                await until(lambda: accepts(client, self._state.token()), what="The API", every=0.1)


async def accepts(client: httpx.AsyncClient, token: str | None) -> bool:
    if token is None:
        return False
    try:
        answer = await client.get("/api/v1/whoami", headers={"Authorization": f"Bearer {token}"})
    except httpx.TransportError:
        return False
    # An operator may have suspended the demo account: a refusal is an answer too.
    return answer.status_code < 500


def cancel_on_signal() -> None:
    """The first signal asks for an end, and the others must not disturb it."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def stop() -> None:
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, lambda: None)
        task.cancel()
        say("\nStopping")

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
