"""What starts engines and keeps hold of them: systemd (systemd.py), or plain processes where there is none."""

import errno
import fcntl
import os
import signal
import time
from collections.abc import Callable

from .deadline import Deadline
from .errors import Refusal
from .parts import Part
from .store import Home, Instance

KILL_PATIENCE = 3.0
TICK = 0.002


class Running:
    """A live engine. `mark`: of what it was started from; empty when somebody else has changed that."""

    def __init__(self, pid: int, mark: str) -> None:
        self.pid = pid
        self.mark = mark


class Supervisor:
    """Keeps the parts of instances. Call `start` and `stop` only under the instance's lock."""

    def running(self, part: Part) -> Running | None:
        """The engine of this part if it is alive, whoever started it and however that agent ended."""
        raise NotImplementedError

    def start(self, part: Part, command: list[str], mark: str, memory_mb: int) -> Running:
        """Starts the engine where none is running. `memory_mb` bounds what it can take of the node."""
        raise NotImplementedError

    def stop(self, part: Part, deadline: Deadline) -> None:
        """Ends it by the part's `stop_signal`; returns when no process of it is left.

        Raises Refusal `engine_stuck` if it cannot be ended.
        """
        raise NotImplementedError

    def erase(self, instance: Instance) -> None:
        """Erases what is kept of a stopped instance outside its directory."""

    def boot(self, instances: "list[Instance]") -> "list[str]":
        """The machine has just started: starts what it should run. The names of what was started."""
        return []


class Processes(Supervisor):
    """An engine holds a lock on its engine.pid for as long as it lives, and the file says its pid.

    The agent takes the lock before it forks and the engine inherits it, so there is no moment at which an
    engine lives unseen, however the agent is killed; two engines on one data directory are impossible; and a
    pid is only believed while its lock is held, so it is never somebody else's. The engine leads its own process
    group, whose number stays taken while a child (an append-only file being rewritten) outlives it.
    """

    def running(self, part: Part) -> Running | None:
        try:
            fd = os.open(part.process, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            while self._is_held(fd):
                pid, _, mark = os.pread(fd, 200, 0).decode().strip().partition(" ")
                if mark:
                    return Running(int(pid), mark)
                time.sleep(TICK)  # just forked: the engine-to-be writes its pid before anything else
            return None
        finally:
            os.close(fd)

    def start(self, part: Part, command: list[str], mark: str, memory_mb: int) -> Running:
        fd = os.open(part.process, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._hold(fd)
            os.ftruncate(fd, 0)
            pid = os.fork()
            if pid == 0:
                become(command, fd, mark, part, memory_mb)
            return Running(pid, mark)
        finally:
            os.close(fd)

    def stop(self, part: Part, deadline: Deadline) -> None:
        engine = self.running(part)
        if engine is None:
            return
        send(os.kill, engine.pid, part.stop_signal)
        if self._ended(part, deadline.within(part.stop_patience)):
            return
        send(os.killpg, engine.pid, signal.SIGKILL)
        if not self._ended(part, Deadline(KILL_PATIENCE)):
            raise Refusal("engine_stuck", f"The engine (pid {engine.pid}) cannot be ended.", retry=True)

    def _ended(self, part: Part, deadline: Deadline) -> bool:
        while self.running(part) is not None:
            if deadline.passed():
                return False
            time.sleep(TICK)
        return True

    @staticmethod
    def _is_held(fd: int) -> bool:
        try:
            # Shared, so that those who only look do not take each other for an engine.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(fd, fcntl.LOCK_UN)
        return False

    @staticmethod
    def _hold(fd: int) -> None:
        patience = Deadline(1.0)
        while True:
            try:
                return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if patience.passed():
                    raise Refusal("busy", "An engine of this instance still runs.", retry=True) from None
                time.sleep(TICK)  # a probe is looking


def send(kill: Callable[[int, int], None], pid: int, number: int) -> None:
    try:
        kill(pid, number)
    except ProcessLookupError:
        pass  # it has ended by itself


def become(command: list[str], fd: int, mark: str, part: Part, memory_mb: int) -> None:
    """Turns this forked process into the engine; never returns."""
    try:
        os.setsid()
        os.pwrite(fd, f"{os.getpid()} {mark}\n".encode(), 0)
        os.set_inheritable(fd, True)
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(part.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        limit_memory(memory_mb)
        os.chdir(part.data)
        os.execve(command[0], command, {"PATH": os.defpath, "LANG": "C"})
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def limit_memory(megabytes: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (megabytes * 2**20, megabytes * 2**20))


def supervisor_of(home: Home) -> Supervisor:
    if home.supervisor == "processes":
        return Processes()
    if home.supervisor == "systemd":
        from .systemd import Systemd

        return Systemd()
    raise Refusal("not_configured", f"There is no supervisor `{home.supervisor}`.", retry=False)


def require_free(host: str, port: int) -> None:
    """Raises Refusal `port_taken` when somebody listens there already."""
    import socket

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise Refusal("port_taken", f"Another process listens on port {port}.", retry=True) from None
