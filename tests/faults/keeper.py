"""Keeps services running, as systemd does in production: what ends is started again."""

import os
import signal
import subprocess
import threading
from contextlib import suppress

from devstack.processes import Service
from devstack.state import REPOSITORY, State

PAUSE = 0.2  # seconds, from an end to the next start


class Kept:
    def __init__(self, state: State, service: Service) -> None:
        self.service = service
        self._log = state.log(service.name)
        self._wanted = True
        self._started = threading.Event()
        self._ended = threading.Event()
        self._process: subprocess.Popen[bytes]
        self._thread = threading.Thread(target=self._keep, name=service.name, daemon=True)
        self._thread.start()
        self._started.wait()

    def signal(self, number: signal.Signals) -> None:
        """To it and its children: they are one session."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def ask_to_end(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, self.service.stop_signal)

    def restart(self) -> None:
        """In order, and back."""
        self._started.clear()
        self.ask_to_end()
        assert self._started.wait(self.service.patience + 10), f"{self.service.name} did not end"

    def stop(self) -> None:
        self._wanted = False
        self._ended.set()
        self.signal(signal.SIGCONT)
        self.ask_to_end()
        self._thread.join(self.service.patience)
        if self._thread.is_alive():
            self.signal(signal.SIGKILL)
            self._thread.join()

    def _keep(self) -> None:
        while self._wanted:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self.service.leashed,
                    env=self.service.env,
                    cwd=REPOSITORY,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._started.set()
            self._process.wait()
            self._ended.wait(PAUSE)


class Keeper:
    """Takes the place of devstack's supervisor, for which the end of a service is the end of all."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.kept: dict[str, Kept] = {}

    async def start(self, service: Service) -> None:
        self.keep(service)

    async def finish(self, job: Service) -> None:
        self.run(job)

    def keep(self, service: Service) -> None:
        self.kept[service.name] = Kept(self._state, service)

    def run(self, job: Service) -> None:
        done = subprocess.run(
            job.leashed, env=job.env, cwd=REPOSITORY, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, f"{job.name}: {done.stdout}{done.stderr}"

    def stop(self) -> None:
        """The last one started is the first to go."""
        for name in reversed(list(self.kept)):
            self.kept.pop(name).stop()
