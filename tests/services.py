"""The tests' own PostgreSQL and Valkey, as the local stack runs them; in a folder of their own, for one run."""

import asyncio
import shutil
import tempfile
import threading
from pathlib import Path

from cryptography.fernet import Fernet

from devstack import environment
from devstack.postgres import Postgres
from devstack.processes import Supervisor
from devstack.state import State
from devstack.valkey import Valkey


class Services:
    """Ports are chosen at once, since Django's settings want to know them; `start` starts."""

    def __init__(self) -> None:
        self.state = State(Path(tempfile.mkdtemp(prefix="basekv-tests-")))
        self.postgres, self.valkey = Postgres(self.state), Valkey(self.state)
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="services")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "basekv.settings",
            "BASEKV_SECRET_KEY": "only for tests",
            "BASEKV_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "BASEKV_SSH_KEY": environment.ssh_key(self.state),
            "BASEKV_ALLOWED_HOSTS": "testserver,127.0.0.1,localhost",
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
        }

    def start(self) -> None:
        self._thread.start()
        while not self._started.wait(0.1):
            if not self._thread.is_alive():
                raise RuntimeError(f"The tests' services did not start; see {self.state.root}/log.")

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join()
        shutil.rmtree(self.state.root, ignore_errors=True)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        main = asyncio.current_task()
        assert main is not None
        self._main = main
        self.state.claim()
        try:
            async with Supervisor(self.state) as supervisor:
                await asyncio.gather(self.postgres.start(supervisor), self.valkey.start(supervisor))
                self._started.set()
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
