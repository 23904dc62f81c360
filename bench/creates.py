"""Databases made by the API, one after the other and then N at once: from POST to `running`. They are deleted again.

set -a; . .devstack/env; set +a; .venv/bin/python -m bench.creates [N]
"""

import os
import statistics
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import httpx

from bench.figures import tell

AT_ONCE = int(sys.argv[1]) if len(sys.argv) > 1 else 50
ONE_BY_ONE = 10
CLIENTS = 16
PATIENCE = 300.0  # seconds

headers = {"Authorization": f"Bearer {os.environ['BASEKV_TOKEN']}"}
api = httpx.Client(base_url=f"{os.environ['BASEKV_URL']}/api/v1", headers=headers, trust_env=False, timeout=60)


def create(_: int = 0) -> tuple[str, float, float]:
    """The id, when it was asked for, and how long the answer took."""
    began = time.monotonic()
    answer = api.post("/instances", json={"name": "bench"})
    answer.raise_for_status()
    return answer.json()["id"], began, time.monotonic() - began


def statuses() -> dict[str, str]:
    return {item["id"]: item["status"] for item in api.get("/instances").raise_for_status().json()["instances"]}


def running(began: dict[str, float]) -> list[float]:
    """How long each took to run, which is looked at every 10 ms."""
    took: dict[str, float] = {}
    end = time.monotonic() + PATIENCE
    while len(took) < len(began):
        assert time.monotonic() < end, f"{len(began) - len(took)} do not run"
        found, now = statuses(), time.monotonic()
        took |= {id: now - began[id] for id in began.keys() - took.keys() if found[id] == "running"}
        time.sleep(0.01)
    return sorted(took.values())


def delete(ids: Iterable[str]) -> None:
    for id in ids:
        api.delete(f"/instances/{id}").raise_for_status()


alone: list[float] = []
for _ in range(ONE_BY_ONE):
    id, asked, _ = create()
    alone += running({id: asked})
    delete([id])
tell("one by one, to running", alone)

began = time.monotonic()
with ThreadPoolExecutor(CLIENTS) as pool:
    made = list(pool.map(create, range(AT_ONCE)))
together = running({id: asked for id, asked, _ in made})
whole = time.monotonic() - began
tell(f"{AT_ONCE} at once, the answer", [took for _, _, took in made])
tell(f"{AT_ONCE} at once, to running", together)
rate = AT_ONCE / whole * statistics.median(alone)
sys.stdout.write(f"{AT_ONCE / whole:.1f} a second: {rate:.1f} times what comes one by one\n")
delete(id for id, _, _ in made)
