"""Memcached 1.6, kept as storage: passwords, no eviction, and a memory file that outlives a restart."""

import os
import time

from .deadline import Deadline
from .engine import AGENT_USER, REPLY_TIMEOUT, USER, About, Engine, Unproven
from .errors import Refusal
from .parts import MEMCACHED
from .supervisors import Running
from .wanted import Wanted
from .wire import Connection, local

# It gives each of its 39 size classes a megabyte before it takes a key, and does not start with less.
LEAST_MB = 64
MAX_CONNECTIONS = 1024
THREADS = 2
LOG_OPTIONS = {"debug": ["-vv"], "info": ["-v"], "warning": [], "error": []}
# It reads lines of at most 256 bytes from the file of passwords.
LONGEST_PASSWORD = 200
# More than it says at a start, with the most verbose log.
LOG_LINES = 1000


class Memcached(Engine):
    part_name = MEMCACHED
    _log_start: int | None = None

    def check(self, wanted: Wanted) -> None:
        if len(wanted.password.encode()) > LONGEST_PASSWORD or " " in wanted.password:
            message = f"A password for memcached has at most {LONGEST_PASSWORD} bytes and no blanks."
            raise Refusal("bad_request", message, retry=False)
        if self._size() not in (0, size_mb(wanted)):
            message = f"Memcached keeps its keys only as long as its size stays {self._size()} MiB."
            raise Refusal("size_changed", message, retry=False)

    def config(self, wanted: Wanted) -> str:
        """The file of passwords: a name and a password in each line, nothing else."""
        return f"{USER}:{wanted.password}\n{AGENT_USER}:{self._secret()}\n"

    def command(self, wanted: Wanted) -> list[str]:
        options = {
            "-l": self._home.bind,
            "-p": self.port,
            "-U": 0,
            # The binary protocol would not ask for the password.
            "-B": "ascii",
            "-Y": self.part.config,
            "-m": size_mb(wanted),
            "-e": self._memory_file,
            "-c": MAX_CONNECTIONS,
            "-t": THREADS,
        }
        if os.geteuid() == 0:
            options["-u"] = "root"  # it does not start as root unless told to
        words = [word for option, value in options.items() for word in (option, str(value))]
        return [self.program, *words, "-M", *LOG_OPTIONS[wanted.log_level]]

    def memory_mb(self, wanted: Wanted) -> int:
        """The keys, the table that finds them, and connections."""
        return size_mb(wanted) + 256

    def prepare(self, wanted: Wanted) -> None:
        self._reserve_disk(size_mb(wanted) * 2**20)
        if self._await_next_second():
            self._log_start = self.part.log_size()

    def prove(self, running: Running, wanted: Wanted) -> str:
        try:
            self.ask()
            stats = self._stats(running, Deadline(REPLY_TIMEOUT))
            refused(self._connect(), None, "the engine answers without a password")
            if wanted.previous_password is not None:
                refused(self._connect(), wanted.previous_password, "the engine still accepts the previous password")
            with self._connect() as connection:
                sign_in(connection, USER, wanted.password)
                connection.write(b"mn\r\n")
                answers = [connection.line(REPLY_TIMEOUT) for _ in range(2)]
        except OSError as error:
            raise Unproven(error.strerror or str(error)) from None
        if answers != ["STORED", "MN"]:
            raise Unproven("the engine does not take the password")
        self._prove_that_keys_are_kept()
        return f"{self.kind} {stats['version']}"

    def ask(self) -> None:
        self._asked = self._connect()
        sign_in(self._asked, AGENT_USER, self._secret())
        self._asked.write(b"stats\r\n")

    def hear(self, running: Running, deadline: Deadline) -> About:
        stats = self._stats(running, deadline)
        return About(int(stats["bytes"]), int(stats["curr_items"]))

    def _stats(self, running: Running, deadline: Deadline) -> dict[str, str]:
        """The answer to `ask`, of lines such as `STAT pid 4711`."""
        stats = {}
        with self._asked as connection:
            if connection.line(deadline.left()) != "STORED":
                raise Unproven("another process answers on the port")
            while (line := connection.line(deadline.left())) != "END":
                _, name, value = line.split(" ", 2)
                stats[name] = value
        if stats.get("pid") != str(running.pid):
            raise Unproven("another process answers on the port")
        return stats

    def _connect(self) -> Connection:
        return Connection(local(self._home.bind), self.port)

    def _secret(self) -> str:
        return self._home.secret(self._instance, MEMCACHED)

    @property
    def _memory_file(self) -> str:
        return f"{self.part.data}/memory"

    def _size(self) -> int:
        """MiB of the memory file, 0 where there is none."""
        try:
            return os.stat(self._memory_file).st_size // 2**20
        except FileNotFoundError:
            return 0

    def _reserve_disk(self, size: int) -> None:
        """A full disk must be an error now, not the engine's sudden death when it writes to a hole in the file."""
        fd = os.open(self._memory_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError as error:
            message = f"There is no disk for memcached's {size >> 20} MiB: {error.strerror}."
            raise Refusal("disk_full", message, retry=True) from None
        finally:
            os.close(fd)

    def _prove_that_keys_are_kept(self) -> None:
        """Once told, it is for an operator to know; trying again finds a healthy engine."""
        said = [] if self._log_start is None else self.part.log_tail(LOG_LINES, self._log_start)
        if any("starting with a clean cache" in line for line in said):
            message = "Memcached could not read the memory file of its last run, and began an empty one."
            raise Refusal("data_lost", message, retry=True)

    def _await_next_second(self) -> bool:
        """A memcached that starts within the second, by the clock on the wall, in which the last one stopped takes
        that for a clock that has gone wrong, and throws its keys away. When it stopped is the age of its notes.

        False where there are none, because it never ran or did not stop in order.
        """
        try:
            stopped = int(os.stat(f"{self._memory_file}.meta").st_mtime)
        except FileNotFoundError:
            return False
        wait = stopped + 1 - time.time()
        if wait > 1:
            message = f"The node's clock is {wait:.0f} s behind the time at which memcached stopped."
            raise Refusal("clock_went_back", message, retry=True)
        time.sleep(max(0.0, wait))
        return True


def size_mb(wanted: Wanted) -> int:
    return max(wanted.storage_mb, LEAST_MB)


def sign_in(connection: Connection, user: str, password: str) -> None:
    """Sends without waiting: the first thing said on a connection is a `set` of user and password to any key."""
    words = f"{user} {password}".encode()
    connection.write(b"set auth 0 0 %d\r\n%s\r\n" % (len(words), words))


def refused(connection: Connection, password: str | None, otherwise: str) -> None:
    with connection:
        if password is None:
            connection.write(b"mn\r\n")
        else:
            sign_in(connection, USER, password)
        if not connection.line(REPLY_TIMEOUT).startswith("CLIENT_ERROR"):
            raise Unproven(otherwise)
