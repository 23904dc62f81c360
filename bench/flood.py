"""One account asks for N databases on N connections at once: how long its answers take, and a neighbour's meanwhile.

set -a; . .devstack/env; set +a; .venv/bin/python -m bench.flood [N]

Two accounts are made for it, which stay; the databases are deleted again.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections import Counter

import httpx

from bench.figures import tell

AT_ONCE = int(sys.argv[1]) if len(sys.argv) > 1 else 500
PAUSE = 0.2  # seconds between the neighbour's requests
PATIENCE = 300.0  # seconds


def manage(*arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def client() -> httpx.AsyncClient:
    """Of an account of its own, which may have as many databases as it likes."""
    account = f"bench-{uuid.uuid4().hex[:8]}"
    manage("create_account", account, "--plan", "unlimited")
    scopes = [f"--scope=db.instances.{verb}" for verb in ("read", "write")]
    secret = json.loads(manage("issue_token", account, "--service-account", "bench", *scopes, "--json"))["token"]
    return httpx.AsyncClient(
        base_url=f"{os.environ['BASEKV_URL']}/api/v1",
        headers={"Authorization": f"Bearer {secret}"},
        limits=httpx.Limits(max_connections=AT_ONCE),
        timeout=PATIENCE,
        trust_env=False,
    )


async def create(api: httpx.AsyncClient) -> tuple[int, float]:
    """Status and seconds."""
    began = time.monotonic()
    answer = await api.post("/instances", json={"name": "bench", "storage_mb": 1})
    return answer.status_code, time.monotonic() - began


async def until_all_run(api: httpx.AsyncClient) -> float:
    """Seconds."""
    began = time.monotonic()
    while any(item["status"] != "running" for item in await instances(api)):  # noqa: ASYNC110 - the API tells no event
        await asyncio.sleep(0.2)
    return time.monotonic() - began


async def instances(api: httpx.AsyncClient) -> list[dict[str, str]]:
    return list((await api.get("/instances")).raise_for_status().json()["instances"])


async def clean(api: httpx.AsyncClient) -> None:
    for item in await instances(api):
        await api.delete(f"/instances/{item['id']}")


async def main() -> None:
    flooding, neighbour = client(), client()
    alone = [await create(neighbour) for _ in range(5)]
    flood = asyncio.gather(*(create(flooding) for _ in range(AT_ONCE)))
    meanwhile = []
    while not flood.done():
        await asyncio.sleep(PAUSE)
        meanwhile.append(await create(neighbour))
    answers = await flood
    rest = await until_all_run(flooding)
    tell("the neighbour, before", [seconds for _, seconds in alone])
    tell("the neighbour, meanwhile", [seconds for _, seconds in meanwhile])
    tell(f"{AT_ONCE} at once", [seconds for _, seconds in answers])
    sys.stdout.write(f"{dict(Counter(status for status, _ in answers))}, all ran {rest:.1f} s after the last answer\n")
    sys.stdout.write(f"the neighbour: {dict(Counter(status for status, _ in alone + meanwhile))}\n")
    for api in (flooding, neighbour):
        await clean(api)


asyncio.run(main())
