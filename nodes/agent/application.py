"""One `apply` to one instance: its parts are made what is wanted, and proven."""

import os
import time

from . import engines, supervisors
from .deadline import Deadline
from .digests import hexdigest
from .engine import Engine, Loading, Unproven
from .errors import Refusal
from .parts import parts
from .store import Home, Instance, Record
from .supervisors import TICK, Running
from .wanted import Wanted

# How long a live engine may be silent before it is restarted.
SILENCE_PATIENCE = 1.0
FAILURE_LOG_LINES = 10
# Bytes that a start takes at most: its configuration, the record, and the engine's own first files.
LEAST_ROOM = 4 * 2**20


class Application:
    """Use it under the instance's lock. Raises Refusal where the node cannot be made to serve what is wanted."""

    def __init__(self, home: Home, instance: Instance, want: Wanted, deadline: Deadline) -> None:
        self._home = home
        self._instance = instance
        self._want = want
        self._deadline = deadline
        self._engines = engines.needed(home, instance, want)
        self._supervisor = supervisors.supervisor_of(home)

    def run(self) -> tuple[str, bool]:
        """The engines' versions, and whether anything had to be (re)started."""
        stale = [engine for engine in self._engines if self._as_wanted(engine) is None]
        self._check_disk(stale)
        self._stop_all_but([engine for engine in self._engines if engine not in stale])
        if stale:
            # Whatever still runs now is of this generation, so the record is true whenever an agent is killed.
            self._write_record()
        proven = [self._hold(engine) for engine in self._engines]
        return ", ".join(version for version, _ in proven), any(changed for _, changed in proven)

    def _as_wanted(self, engine: Engine) -> Running | None:
        running = self._supervisor.running(engine.part)
        if running is None or running.mark != engine.mark(self._want) or engine.was_changed(running):
            return None
        return running

    def _check_disk(self, stale: list[Engine]) -> None:
        """Nothing is stopped that could not be started again, or that has not written what it must keep."""
        disk = os.statvfs(self._home.directory)
        if stale and disk.f_bavail * disk.f_frsize < LEAST_ROOM:
            raise Refusal("disk_full", "The node's disk has no room left.", retry=True)
        for engine in stale:
            if self._supervisor.running(engine.part):
                engine.check_kept()

    def _stop_all_but(self, kept: list[Engine]) -> None:
        names = {engine.part.name for engine in kept}
        for part in reversed(parts(self._instance)):
            if part.name not in names:
                self._supervisor.stop(part, self._deadline)

    def _write_record(self) -> None:
        self._instance.write_record(Record(self._want.generation, "active", self._want.protocol, self._want.ports))

    def _hold(self, engine: Engine) -> tuple[str, bool]:
        """The engine's version, and whether it was started. One that is healthy is left alone."""
        running = self._as_wanted(engine)
        if running is not None:
            try:
                return self._wait(engine, running, self._deadline.within(SILENCE_PATIENCE)), False
            except Unproven:
                self._supervisor.stop(engine.part, self._deadline)  # it hangs, or has ended by now
        return self._start(engine), True

    def _start(self, engine: Engine) -> str:
        engine.part.write_config(engine.config(self._want))
        engine.part.rotate_log()
        supervisors.require_free(self._home.bind, engine.port)
        log_start = engine.part.log_size()
        engine.prepare(self._want)
        running = self._supervisor.start(
            engine.part, engine.command(self._want), engine.mark(self._want), engine.memory_mb(self._want)
        )
        try:
            return self._wait(engine, running, self._deadline)
        except Unproven as reason:
            if self._supervisor.running(engine.part) is None:
                self._supervisor.stop(engine.part, self._deadline)  # or systemd tries it again
                raise self._failed(engine, log_start) from None
            message = f"The engine {engine.kind} runs and is not ready: {reason}."
            raise Refusal("engine_not_ready", message, retry=True) from None

    def _wait(self, engine: Engine, running: Running, patience: Deadline) -> str:
        """The version, once proven. Raises Unproven when the engine has ended, or `patience` is over."""
        while True:
            try:
                return engine.prove(running, self._want)
            except Loading:
                if self._deadline.passed():
                    message = "The engine is still reading its data from disk."
                    raise Refusal("loading", message, retry=True) from None
            except Unproven:
                if patience.passed() or self._supervisor.running(engine.part) is None:
                    raise
            time.sleep(TICK)

    def _failed(self, engine: Engine, log_start: int) -> Refusal:
        tail = "\n".join(engine.part.log_tail(FAILURE_LOG_LINES, log_start))
        if "Address already in use" in tail:
            return Refusal("port_taken", f"Another process listens on port {engine.port}.", retry=True)
        # The engine quotes a line of its configuration that it does not like.
        for secret in self._secrets():
            tail = tail.replace(hexdigest(secret.encode()), "***").replace(secret, "***")
        message = f"The engine {engine.kind} ended at its start. Its last words:\n{tail}"
        return Refusal("engine_failed", message, retry=True)

    def _secrets(self) -> list[str]:
        want = self._want
        ours = [self._home.secret(self._instance, part.name) for part in parts(self._instance)]
        return [want.password, *([want.previous_password] if want.previous_password else []), *ours]
