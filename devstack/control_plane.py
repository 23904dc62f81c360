"""The web server, the worker, the watcher and the beat, as production runs them."""

import sys
from collections.abc import Mapping

from devstack import ports
from devstack.processes import Service

WORKER, WATCHER = "worker@localstack", "watcher@localstack"
MIGRATED = "Database migrated"


def web(env: Mapping[str, str], port: int) -> Service:
    options = {
        "interface": "wsgi",
        "host": ports.HOST,
        "port": port,
        "workers": 2,
        "blocking-threads": 512,  # they only wait (basekv/turns.py)
        "static-path-route": "/static",
        "static-path-mount": env["BASEKV_STATIC_ROOT"],
        "workers-kill-timeout": 5,
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    return Service("web", _module("granian", *arguments, "basekv.wsgi:application"), env=env)


def worker(env: Mapping[str, str]) -> Service:
    return Service("worker", _celery_worker(env, WORKER, "operations", 32), env=env)


def watcher(env: Mapping[str, str]) -> Service:
    return Service("watcher", _celery_worker(env, WATCHER, "watch", 8), env=env)


def beat(env: Mapping[str, str]) -> Service:
    return Service("beat", _module("celery", "-A", "basekv", "beat", "--pidfile="), env=env)


def _celery_worker(env: Mapping[str, str], name: str, queue: str, threads: int) -> list[str]:
    options = [
        f"--hostname={name}",
        f"--queues={queue}",
        "--pool=threads",
        f"--concurrency={threads}",
        "--prefetch-multiplier=1",
        "--without-gossip",
        "--without-mingle",
        f"--loglevel={env.get('BASEKV_LOG_LEVEL', 'info')}",
    ]
    return _module("celery", "-A", "basekv", "worker", *options)


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]
