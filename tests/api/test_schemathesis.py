"""The published document under fire: schemathesis against the real server over the wire, while a worker is at work."""

import base64
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import connection

from accounts.actors import SYSTEM
from accounts.scopes import Scope
from devstack import ports
from instances import leases, lifecycle, provisioning
from instances.models import Operation
from instances.states import LogLevel
from nodes import transport
from nodes.errors import AgentError, Unreachable
from nodes.models import Node
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CONFIG = Path(__file__).with_name("schemathesis.toml")
# A cursor as we write them.
CURSOR = base64.urlsafe_b64encode(b"2026-01-02T03:04:05.678901+00:00 1b4e28ba-2fa1-11d2-883f-0016d3cca427").decode()
CONTROL, SPACE = r"\x00-\x1f\x7f-\x9f", r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# 2 to 100 characters after trimming.
NAME = f"^[{SPACE}]*[^{CONTROL}{SPACE}][^{CONTROL}]{{0,98}}[^{CONTROL}{SPACE}][{SPACE}]*$"
ROOM = {"capacity_mb": 10**8, "slots": 10_000, "first_port": 2_000, "engines": ["valkey", "memcached", "webdis"]}


@pytest.fixture
def server(tmp_path) -> Iterator[str]:
    """The web server as production runs it, on the tests' database."""
    port = ports.free()
    options = ["--interface=wsgi", "--host=127.0.0.1", f"--port={port}", "--blocking-threads=8", "--no-ws"]
    database = "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**connection.settings_dict)
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "granian", *options, "basekv.wsgi:application"],
            env={**os.environ, "DATABASE_URL": database},
            stdout=log,
            stderr=log,
        )
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=20)


def agent(_: Any, request: dict[str, Any], **__: Any) -> dict[str, Any]:
    """Stands in for the nodes, which the API does not reach anyway. Of 16 instances one cannot be made, and the node
    of one does not answer: failed and waiting ones are met too."""
    if request["instance"].startswith("0"):
        raise AgentError("no_engine", "There is no such engine.", permanent=True)
    if request["instance"].startswith("1"):
        raise Unreachable("The node cannot be reached.")
    return {"ok": True}


@pytest.fixture
def fleet(monkeypatch) -> Iterator[None]:
    """Two nodes, of which one is stale half of the time, and a worker."""
    monkeypatch.setattr(transport, "call", agent)
    factories.node(**ROOM)
    fickle, done = factories.node(**ROOM), threading.Event()

    def work() -> None:
        turns = itertools.cycle(["online"] * 50 + ["stale"] * 50)
        try:
            while not done.wait(0.02):
                Node.objects.filter(pk=fickle.pk).update(health=next(turns))
                for operation in Operation.objects.filter(leases.due()):
                    provisioning.carry_out(operation.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        worker = pool.submit(work)
        yield
        done.set()
        worker.result()


@dataclass(frozen=True)
class Exchange:
    """One request that schemathesis made, what it meant by it, and the answer."""

    operation: str
    good: bool
    id: str
    at: float
    status: int
    body: bytes


def fire(server: str, folder: Path, one: str, other: str, *options: str) -> list[Exchange]:
    """Runs schemathesis with the tokens of two tenants; fails with its report, or gives all that was said, in order."""
    with httpx.Client(transport=httpx.HTTPTransport(retries=8), timeout=30) as client:
        document = client.get(f"{server}/openapi.json").raise_for_status().json()
    (folder / "openapi.json").write_text(json.dumps(told_in_full(document)))
    users = [
        {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {token}"}]}
        for name, token in (("one", one), ("other", other))
    ]
    (folder / "tokens.json").write_text(json.dumps({"auth": users}))
    report = folder / "report.ndjson"
    options = (f"--report-ndjson-path={report}", *options)
    run = subprocess.run(
        [SCHEMATHESIS, f"--config-file={CONFIG}", "run", folder / "openapi.json", f"--url={server}", *options],
        env={**os.environ, "BASEKV_TEST_TOKENS": str(folder / "tokens.json")},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return read(report)


def told_in_full(document: dict[str, Any]) -> dict[str, Any]:
    """With what the contract says in words alone, so that good data is good and bad data is bad."""
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        for parameter in operation.get("parameters", []):
            parameter["schema"] |= {"id": {"format": "uuid"}, "cursor": {"enum": [CURSOR]}}.get(parameter["name"], {})
    body = document["components"]["schemas"]["CreateInstance"]["properties"]
    body["name"] = {"type": "string", "pattern": NAME}
    body["region"]["enum"] = ["local"]
    body["log_level"]["enum"] = LogLevel.values
    return document


def read(report: Path) -> list[Exchange]:
    lines = map(json.loads, report.read_text().splitlines())
    return sorted(
        (
            exchange(record["cases"][id]["value"], said)
            for record in (line["ScenarioFinished"]["recorder"] for line in lines if "ScenarioFinished" in line)
            for id, said in record.get("interactions", {}).items()
        ),
        key=lambda exchange: exchange.at,
    )


def exchange(case: dict[str, Any], said: dict[str, Any]) -> Exchange:
    return Exchange(
        operation=f"{case['method']} {case['path']}",
        good=case.get("meta", {}).get("generation", {}).get("mode") == "positive",
        id=str(case.get("path_parameters", {}).get("id")),
        at=said["timestamp"],
        status=said["response"]["status_code"],
        body=base64.b64decode(said["response"]["content"]["$base64"]),
    )


# What good data must have met; schemathesis itself sees that it is documented, and that nothing else is met.
ANSWERS = {
    "GET /api/v1/whoami": {200},
    "GET /api/v1/instances": {200},
    "POST /api/v1/instances": {201},
    "GET /api/v1/instances/{id}": {200},
    "DELETE /api/v1/instances/{id}": {200, 202},
    "POST /api/v1/instances/{id}/restart": {202},
    "GET /api/v1/instances/{id}/operations": {200},
    "GET /api/v1/instances/{id}/credentials": {200},
    "POST /api/v1/instances/{id}/credentials/reveal": {200},
    "POST /api/v1/instances/{id}/credentials/rotate": {202},
}
WRITES = {name for name in ANSWERS if not name.startswith("GET ")}


def test_the_server_does_what_its_document_says(server, fleet, tmp_path):
    exchanges = fire(server, tmp_path, factories.customer().secret, factories.customer().secret)
    assert len(exchanges) > 400
    for operation, statuses in ANSWERS.items():
        assert statuses <= {e.status for e in exchanges if e.good and e.operation == operation}, operation
    refused = {json.loads(e.body)["code"] for e in exchanges if e.good and e.status == 400}
    assert refused <= {"idempotency_key_reused"}

    gone = set()
    for exchange in exchanges:
        assert exchange.id not in gone or exchange.status >= 400, f"used after its deletion: {exchange}"
        if exchange.operation.startswith("DELETE") and exchange.status == 200:
            gone.add(exchange.id)
    assert gone


def test_a_token_that_may_only_read_changes_nothing_whatever_it_sends(server, fleet, tmp_path):
    one, other = (factories.customer(scopes=[Scope.INSTANCES_READ]) for _ in "12")
    for number in range(6):
        instance(one if number % 2 else other)
    exchanges = fire(server, tmp_path, one.secret, other.secret, "--max-examples=15", "--phases=coverage,fuzzing")
    assert len(exchanges) > 250
    for operation in ANSWERS:
        statuses = {e.status for e in exchanges if e.operation == operation}
        assert statuses == {401, 403} if operation in WRITES else {200, 401} <= statuses, operation
    assert set(Operation.objects.values_list("kind", flat=True)) == {"provision"}


def instance(customer: factories.Customer) -> None:
    lifecycle.create(
        account_id=customer.account.pk,
        by=SYSTEM,
        max_databases=None,
        max_storage_mb=32,
        name="db",
        region=None,
        protocol="both",
        log_level="info",
    )
