"""The parts of an instance: its processes. Each has a directory of its own, named like the port that it serves.

instances/<uuid>/redis/
instances/<uuid>/memcached/
instances/<uuid>/http/
    engine.conf     its configuration, or with memcached the file of its passwords
    engine.log      what it says
    engine.pid      its process, where there is no systemd
    data/           the customer's keys
"""

import os
import signal

from .digests import hexdigest
from .store import Instance, write_atomically

REDIS, MEMCACHED, HTTP = "redis", "memcached", "http"
# In the order in which they are started; HTTP asks Redis.
PARTS = (REDIS, MEMCACHED, HTTP)
# By which signal a part is stopped, and seconds that it then gets. Memcached keeps its keys over this one only, and
# takes as long as the disk takes for all of its memory.
STOP = {REDIS: (signal.SIGTERM, 8.0), MEMCACHED: (signal.SIGUSR1, 15.0), HTTP: (signal.SIGTERM, 8.0)}
MAX_LOG_BYTES = 8 * 1024 * 1024
TAIL_BYTES = 256 * 1024


class Part:
    """The files of one part. Change them only under the instance's lock."""

    def __init__(self, instance: Instance, name: str) -> None:
        self.instance_id = instance.id
        self.name = name
        self.stop_signal, self.stop_patience = STOP[name]
        self.directory = f"{instance.directory}/{name}"
        self.config = f"{self.directory}/engine.conf"
        self.log = f"{self.directory}/engine.log"
        self.process = f"{self.directory}/engine.pid"
        self.data = f"{self.directory}/data"

    def write_config(self, config: str) -> None:
        os.makedirs(self.data, 0o700, exist_ok=True)
        write_atomically(self.config, config)

    def config_digest(self) -> str:
        """Empty where there is no such file."""
        try:
            with open(self.config, "rb") as file:
                return hexdigest(file.read())
        except OSError:
            return ""

    def log_tail(self, lines: int, start: int = 0) -> list[str]:
        """The last lines of the log, at most TAIL_BYTES of it, none of them from before the offset `start`."""
        try:
            with open(self.log, "rb") as file:
                file.seek(max(start, os.fstat(file.fileno()).st_size - TAIL_BYTES))
                return file.read().decode(errors="replace").replace("\0", "").splitlines()[-lines:]
        except FileNotFoundError:
            return []

    def log_size(self) -> int:
        try:
            return os.stat(self.log).st_size
        except FileNotFoundError:
            return 0

    def rotate_log(self) -> None:
        """Bounds the log. Not by a rename: some engines keep it open, all of them to append."""
        if self.log_size() > MAX_LOG_BYTES:
            import shutil

            shutil.copyfile(self.log, f"{self.log}.1")
            os.truncate(self.log, 0)


def parts(instance: Instance) -> list[Part]:
    """All that it could have, whether it has them or not."""
    return [Part(instance, name) for name in PARTS]
