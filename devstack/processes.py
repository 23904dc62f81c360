"""Services: started, watched, and stopped in order."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from devstack.console import complain
from devstack.errors import StackError
from devstack.state import REPOSITORY, State

# Who needs another goes before it.
STOP_ORDER = ["web", "beat", "worker", "watcher", "seed", "node", "valkey", "postgres", "initdb"]
LAST_LINES = 15


@dataclass(frozen=True, slots=True)
class Service:
    """A program of the stack, and how it is ended."""

    name: str
    command: list[str]
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    stop_signal: signal.Signals = signal.SIGTERM
    patience: float = 10.0  # seconds from that signal to SIGKILL
    identity: list[str] = field(default_factory=list)  # whom setpriv makes of it

    @property
    def leashed(self) -> list[str]:
        """The command, such that the kernel tells it to stop when the supervisor is gone, even by SIGKILL."""
        return ["setpriv", *self.identity, "--pdeathsig", self.stop_signal.name[3:], *self.command]


class Supervisor:
    """While it is open, a service that ends by itself is an error in its task group. Closing it stops all."""

    def __init__(self, state: State) -> None:
        self.tasks = asyncio.TaskGroup()
        self._state = state
        self._members = os.open(state.members, os.O_RDWR | os.O_CREAT, 0o600)
        self._running: dict[str, tuple[Service, Process]] = {}

    async def __aenter__(self) -> Self:
        await self.tasks.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        try:
            await self.tasks.__aexit__(*error)
        finally:
            for name in sorted(self._running, key=STOP_ORDER.index):
                await self._end(*self._running[name])
            os.close(self._members)

    async def start(self, service: Service) -> None:
        process = await self._spawn(service)
        self.tasks.create_task(self._watch(service, process))

    async def finish(self, job: Service) -> None:
        """Runs a program that is expected to end, and well. Raises StackError."""
        await self._finished(job, await self._spawn(job))

    async def converse(self, job: Service, *, after: asyncio.Event, hear: Callable[[str], None]) -> None:
        """The same with one whose standard input ends `after`, and whose output is heard line by line."""
        process = await self._spawn(job, stdin=PIPE, stdout=PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        await after.wait()
        process.stdin.close()
        async for line in process.stdout:
            hear(line.decode().rstrip("\n"))
        await self._finished(job, process)

    async def _spawn(self, service: Service, *, stdin: int = DEVNULL, stdout: int | None = None) -> Process:
        # A session of its own: the terminal's Ctrl-C reaches the supervisor alone, which stops them in order.
        with self._state.log(service.name).open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *service.leashed,
                env=service.env,
                cwd=REPOSITORY,
                stdin=stdin,
                stdout=stdout or log,
                stderr=log,
                start_new_session=True,
                pass_fds=[self._members],
            )
        self._running[service.name] = service, process
        return process

    async def _finished(self, job: Service, process: Process) -> None:
        if await process.wait():
            raise StackError(self._obituary(job, process))

    async def _watch(self, service: Service, process: Process) -> None:
        await process.wait()
        raise StackError(self._obituary(service, process))

    async def _end(self, service: Service, process: Process) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(service.stop_signal)
        try:
            async with asyncio.timeout(service.patience):
                await process.wait()
        except TimeoutError:
            complain(f"  {service.name} did not stop within {service.patience:.0f} s and is killed.")
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    def _obituary(self, service: Service, process: Process) -> str:
        code = process.returncode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        log = self._state.log(service.name)
        lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        said = "".join(f"\n    {line}" for line in lines) or " nothing."
        return f"{service.name} {how}. The last lines of {self._state.shown(log)}:{said}"


async def until(check: Callable[[], Awaitable[bool]], *, what: str, seconds: float = 30.0, every: float = 0.02) -> None:
    """Asks again and again. Raises StackError."""
    try:
        async with asyncio.timeout(seconds):
            while not await check():  # noqa: ASYNC110 - the other process sets no event
                await asyncio.sleep(every)
    except TimeoutError:
        raise StackError(f"{what} did not answer within {seconds:.0f} s.") from None
