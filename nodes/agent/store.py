"""What the agent keeps: one directory per instance, beside the packed agent.

agent.json                   supervisor, bind, engines; written by the enrolment
node.key                     32 random bytes, from which the agent's own engine passwords are derived
instances/<uuid>/record.json what was last asked for, or the tombstone of a removed instance
instances/<uuid>/<part>/     its processes, see parts.py
"""

import fcntl
import json
import os
import time

from .deadline import Deadline
from .digests import hexdigest
from .errors import Refusal

LOCK_PATIENCE = 3.0
TOMBSTONE_SECONDS = 7 * 24 * 3600


def write_atomically(path: str, content: str) -> None:
    """Whole or not at all if the agent is killed. No fsync: after a power cut the control plane asks again."""
    fresh = f"{path}.new"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(content)
    os.replace(fresh, path)


def write_synced(path: str, data: bytes) -> None:
    """On the disk for good. Rename it to where it belongs: a power cut must not leave that empty."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


class Record:
    """The last word of the control plane on an instance. `state`: active, quarantined or removed."""

    def __init__(
        self, generation: int, state: str, protocol: str, ports: dict[str, int | None], since: float = 0.0
    ) -> None:
        self.generation = generation
        self.state = state
        self.protocol = protocol
        self.ports = ports
        self.since = since

    def expired(self) -> bool:
        return self.state == "removed" and not 0 <= time.time() - self.since < TOMBSTONE_SECONDS


class Instance:
    """The files of one instance. Change them only inside `with instance.locked(deadline)`."""

    def __init__(self, directory: str) -> None:
        self.id = os.path.basename(directory)
        self.directory = directory
        self._record = f"{directory}/record.json"

    def exists(self) -> bool:
        return os.path.isdir(self.directory)

    def locked(self, deadline: Deadline) -> "Lock":
        """Creates the directory where there is none.

        Raises Refusal `busy` when another agent holds it for too long.
        """
        return Lock(self, deadline.within(LOCK_PATIENCE))

    def record(self) -> Record | None:
        """None where there is none. Raises ValueError when it is damaged."""
        try:
            with open(self._record) as file:
                return Record(**json.load(file))
        except FileNotFoundError:
            return None
        except (TypeError, ValueError):
            raise ValueError("damaged record") from None

    def write_record(self, record: Record) -> None:
        record.since = time.time()
        write_atomically(self._record, json.dumps(vars(record)))

    def erase(self) -> None:
        """Everything but the record goes."""
        import shutil

        for entry in os.scandir(self.directory):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            elif entry.path != self._record:
                os.unlink(entry.path)

    def forget(self) -> None:
        """The expired tombstone itself goes."""
        import shutil

        shutil.rmtree(self.directory)


class Lock:
    """A lock on the directory itself: it needs no file, and it dies with the agent."""

    def __init__(self, instance: Instance, deadline: Deadline) -> None:
        self._instance = instance
        self._deadline = deadline
        self._fd = -1

    def __enter__(self) -> Instance:
        while not self._try():
            if self._deadline.passed():
                raise Refusal("busy", "Another request is at work on this instance.", retry=True)
            time.sleep(0.02)
        return self._instance

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def _try(self) -> bool:
        directory = self._instance.directory
        os.makedirs(directory, 0o700, exist_ok=True)
        try:
            self._fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A tombstone may have expired between the open and the lock: then this is the lock of nothing.
            if os.fstat(self._fd).st_ino == os.stat(directory).st_ino:
                return True
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(self._fd)
        return False


class Home:
    """The agent's directory on the node. Raises Refusal `not_configured` when agent.json is not usable."""

    def __init__(self, packed_file: str) -> None:
        self.packed_file = packed_file
        self.directory = os.path.dirname(packed_file)
        self._instances = f"{self.directory}/instances"
        try:
            with open(f"{self.directory}/agent.json") as file:
                config = json.load(file)
            self.supervisor: str = config["supervisor"]
            self.bind: str = config["bind"]
            self.engines: dict[str, str] = config.get("engines", {})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            message = f"{self.directory}/agent.json is missing or damaged. Enrol the node again."
            raise Refusal("not_configured", message, retry=False) from None

    def instance(self, id: str) -> Instance:
        return Instance(f"{self._instances}/{id}")

    def instances(self) -> list[Instance]:
        try:
            return [Instance(entry.path) for entry in os.scandir(self._instances)]
        except FileNotFoundError:
            return []

    def secret(self, instance: Instance, purpose: str) -> str:
        """A password that is ours and not the tenant's; derived, so that the agent needs no file for it."""
        # Key and id have fixed lengths and nobody can lengthen a purpose, so a plain hash is as good as an HMAC.
        return hexdigest(self._key() + instance.id.encode() + purpose.encode())

    def _key(self) -> bytes:
        path = f"{self.directory}/node.key"
        try:
            with open(path, "rb") as file:
                key = file.read()
            if len(key) == 32:
                return key
        except FileNotFoundError:
            pass
        return self._make_key(path)

    def _make_key(self, path: str) -> bytes:
        fresh = f"{path}.{os.getpid()}"
        write_synced(fresh, os.urandom(32))
        try:
            os.link(fresh, path)
        except FileExistsError:
            # Another agent was first; or a power cut emptied the file, and nothing depends on it any more.
            if os.stat(path).st_size != 32:
                os.replace(fresh, path)
                return self._key()
        os.unlink(fresh)
        return self._key()
