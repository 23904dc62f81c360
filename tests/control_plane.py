"""Web server, workers, watcher and beat as processes of their own, at the test's own database: it must commit."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.db import connection

from devstack import control_plane, ports
from devstack.processes import Service
from tests.waiting import eventually

PATIENCE = 60.0  # seconds


class ControlPlane:
    """`database_port` and `broker_port`: of cables to them, if not straight."""

    def __init__(
        self, folder: Path, *, database_port: int | None = None, broker_port: int | None = None, **env: str
    ) -> None:
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []
        self.port = ports.free()
        self.url = f"http://{ports.HOST}:{self.port}"
        database = at_port(os.environ["DATABASE_URL"], database_port)
        database = f"{database.rpartition('/')[0]}/{connection.settings_dict['NAME']}"
        broker = at_port(os.environ["REDIS_URL"], broker_port)
        static = folder / "static"
        static.mkdir()
        addresses = {"DATABASE_URL": database, "REDIS_URL": broker, "BASEKV_STATIC_ROOT": str(static)}
        self._env = os.environ | addresses | env

    def web(self) -> subprocess.Popen[bytes]:
        """Returns when it answers."""
        process = self._start(control_plane.web(self._env, self.port))
        eventually(self._answers, "the web server answers", seconds=PATIENCE)
        return process

    def worker(self) -> subprocess.Popen[bytes]:
        return self._start(control_plane.worker(self._env))

    def watcher(self) -> subprocess.Popen[bytes]:
        return self._start(control_plane.watcher(self._env))

    def beat(self) -> subprocess.Popen[bytes]:
        return self._start(control_plane.beat(self._env))

    def said(self, what: str) -> str:
        """All that the processes of this name have written."""
        return (self._folder / f"{what}.log").read_text()

    def ask(self, method: str, path: str, secret: str, **content: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.request(method, f"{self.url}/api/v1{path}", headers=headers, timeout=PATIENCE, **content)

    def stop(self) -> None:
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        for process in self._running:
            try:
                process.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise

    def _start(self, service: Service) -> subprocess.Popen[bytes]:
        with (self._folder / f"{service.name}.log").open("ab") as log:
            process = subprocess.Popen(service.leashed, env=service.env, stdout=log, stderr=log)
        self._running.append(process)
        return process

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/").status_code == 404
        except httpx.TransportError:
            return False


def at_port(url: str, port: int | None) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port or parts.port}").geturl()
