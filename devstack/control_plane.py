"""The web server, the worker and the beat, as production runs them."""

import sys
from collections.abc import Mapping
from pathlib import Path

from devstack import ports
from devstack.processes import Service

WORKER = "worker@localstack"
MIGRATED = "Database migrated"


def web(env: Mapping[str, str], port: int) -> Service:
    options = {
        "interface": "wsgi",
        "host": ports.HOST,
        "port": port,
        "workers": 2,
        "blocking-threads": 2,  # measured: more are slower
        "static-path-route": "/static",
        "static-path-mount": env["BASEKV_STATIC_ROOT"],
        "workers-kill-timeout": 5,
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    return Service("web", _module("granian", *arguments, "basekv.wsgi:application"), env=env)


def worker(env: Mapping[str, str]) -> Service:
    level = env.get("BASEKV_LOG_LEVEL", "info")
    options = [f"--hostname={WORKER}", "--pool=threads", "--concurrency=16", "--prefetch-multiplier=1"]
    return Service(
        "worker",
        _module("celery", "-A", "basekv", "worker", *options, "--without-gossip", "--without-mingle", "-l", level),
        env=env,
    )


def beat(env: Mapping[str, str], schedule: Path) -> Service:
    return Service("beat", _module("celery", "-A", "basekv", "beat", f"--schedule={schedule}", "--pidfile="), env=env)


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]
