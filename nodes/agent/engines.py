"""Which engines this node has, and which of them an instance needs."""

import os

from . import webdis
from .engine import Engine
from .errors import Refusal
from .memcached import Memcached
from .parts import HTTP, MEMCACHED, REDIS
from .redis import Redis
from .store import Home, Instance, write_atomically
from .wanted import Wanted

PROGRAMS = {"valkey": "valkey-server", "redis": "redis-server", "memcached": "memcached", "webdis": "webdis"}
DIRECTORIES = ("/usr/sbin", "/usr/bin", "/usr/local/bin")
# What serves a part, the preferred one first.
KINDS = {REDIS: ("valkey", "redis"), MEMCACHED: ("memcached",), HTTP: ("webdis",)}
CLASSES: dict[str, type[Engine]] = {REDIS: Redis, MEMCACHED: Memcached, HTTP: webdis.Webdis}
# A part is started when those before it answer; HTTP asks Redis.
ORDER = (REDIS, HTTP, MEMCACHED)


def needed(home: Home, instance: Instance, wanted: Wanted) -> list[Engine]:
    """The engines of what is wanted, in the order in which they are started.

    Raises Refusal `no_engine` where this node lacks one, and what the engines' own `check` raises.
    """
    programs = find(home)
    engines = []
    for part, port in listening(wanted.ports):
        kind = next((kind for kind in KINDS[part] if kind in programs), None)
        if kind is None:
            message = f"This node has no {' or '.join(KINDS[part])}, which the port `{part}` needs."
            raise Refusal("no_engine", message, retry=False)
        engine = CLASSES[part](home, instance, port, kind, programs[kind])
        engine.check(wanted)
        engines.append(engine)
    return engines


def recorded(home: Home, instance: Instance, ports: dict[str, int | None]) -> list[Engine]:
    """The engines of an instance that is there, to ask them."""
    return [CLASSES[part](home, instance, port) for part, port in listening(ports)]


def listening(ports: dict[str, int | None]) -> list[tuple[str, int]]:
    return [(part, port) for part in ORDER if (port := ports.get(part)) is not None]


def find(home: Home) -> dict[str, str]:
    """The engines of this node, kind to program. One that agent.json names is preferred to the one on the PATH."""
    found = {}
    for kind, program in PROGRAMS.items():
        for path in [home.engines[kind]] if kind in home.engines else search_path(program):
            if os.access(path, os.X_OK):
                found[kind] = path
                break
    return found


def search_path(program: str) -> list[str]:
    return [f"{directory}/{program}" for directory in (*os.get_exec_path(), *DIRECTORIES)]


def versions(home: Home) -> dict[str, str]:
    """Kind to version. A program is only asked for it when its file has changed since the last time."""
    import json

    cache = f"{home.directory}/engines.json"
    try:
        with open(cache) as file:
            known = json.load(file)
    except (FileNotFoundError, ValueError):
        known = {}
    seen = {}
    for kind, program in find(home).items():
        stat = os.stat(program)
        file_id = f"{program} {stat.st_mtime_ns} {stat.st_size}"
        unchanged = known.get(kind, [""])[0] == file_id
        seen[kind] = known[kind] if unchanged else [file_id, ask_version(kind, program)]
    if seen != known:
        try:
            write_atomically(cache, json.dumps(seen))
        except FileNotFoundError:
            pass  # Another probe does so at this very moment, and has moved the new file into its place.
    return {kind: version for kind, (_, version) in seen.items()}


def ask_version(kind: str, program: str) -> str:
    """From a line such as `Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64` or `memcached 1.6.18`."""
    if kind == "webdis":
        return webdis.version(program)
    import subprocess

    line = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=5).stdout
    if kind == "memcached":
        return line.removeprefix("memcached").strip() or "unknown"
    return next((word[2:] for word in line.split() if word.startswith("v=")), "unknown")
