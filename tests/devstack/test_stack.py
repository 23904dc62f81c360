"""The local stack as its user meets it. One is started for all tests; those that end it come last."""

import re
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from devstack.demo import wait_until
from tests.stack import Stack

KEYS = 1000


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack.started(tmp_path_factory.mktemp("stack") / "state")
    yield stack
    if stack.is_running:
        stack.stop()


def api(stack: Stack, method: str, path: str, **content: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {stack.env['BASEKV_TOKEN']}"}
    answer = httpx.request(method, f"{stack.url}/api/v1{path}", headers=headers, **content)
    assert answer.is_success, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.fixture(scope="module")
def database(stack: Stack) -> redis.Redis:
    """A client of one that holds KEYS keys."""
    database = api(stack, "POST", "/instances", json={"name": "kept"})["id"]
    wait_until(lambda: statuses(stack)[database] == "running", "The database did not become running.")
    found = api(stack, "POST", f"/instances/{database}/credentials/reveal")
    client = redis.Redis(found["host"], found["redis_port"], password=found["password"])
    client.mset({f"key {number}": number for number in range(KEYS)})
    return client


def statuses(stack: Stack) -> dict[str, str]:
    return {instance["id"]: instance["status"] for instance in api(stack, "GET", "/instances")["instances"]}


def check_all_keys(database: redis.Redis) -> None:
    wait_until(lambda: answers(database), "The database did not come back.")
    assert database.dbsize() == KEYS


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_env_is_for_its_owner_alone(stack: Stack) -> None:
    assert stat.S_IMODE(stack.state.env_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(stack.state.root.stat().st_mode) == 0o700


def test_a_shell_that_sources_env_can_use_manage_py(stack: Stack) -> None:
    script = f"set -a; . {stack.state.env_file}; exec .venv/bin/python manage.py list_nodes"
    assert "local" in subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


def test_the_token_is_the_demo_accounts(stack: Stack) -> None:
    assert api(stack, "GET", "/whoami")["plan"]["id"] == "unlimited"


def test_the_operator_signs_in(stack: Stack) -> None:
    with httpx.Client(follow_redirects=True) as browser:
        form = browser.get(stack.env["BASEKV_ADMIN_URL"])
        hidden = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)
        assert hidden
        console = browser.post(
            form.url,
            data={
                "csrfmiddlewaretoken": hidden[1],
                "username": stack.env["BASEKV_ADMIN_EMAIL"],
                "password": stack.env["BASEKV_ADMIN_PASSWORD"],
            },
        )
        assert "Log out" in console.text
        style = re.search(r'href="(/static/[^"]+\.css)"', console.text)
        assert style
        assert browser.get(stack.url + style[1]).is_success


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
def test_the_three_commands_work_as_they_are_pasted(stack: Stack) -> None:
    commands = [line for line in stack.output.splitlines() if line.startswith("  curl ")]
    whoami, created, revealed = (
        subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
        for command in commands
    )
    assert "demo" in whoami or "unlimited" in whoami
    assert '"status":"pending"' in created
    assert '"password":' in revealed


def test_no_command_line_holds_a_secret(stack: Stack) -> None:
    secrets = [path.read_text() for path in (stack.state.root / "secrets").iterdir()]
    lines = "".join(stack.processes().values())
    assert "granian" in lines
    assert not [secret for secret in secrets if secret in lines]


def test_a_second_run_says_that_one_is_running(stack: Stack) -> None:
    second = stack.run("run")
    assert second.returncode == 1
    assert re.fullmatch(r"It is running already; \S+/env says where\.\n", second.stderr)


def test_a_port_in_use_is_said_before_anything_is_started(tmp_path: Path) -> None:
    other = Stack(tmp_path / "state")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = other.run("run", PORT=str(port))
    assert refused.returncode == 1
    assert re.fullmatch(rf"Port {port} is in use; choose another: PORT=\d+ make run\n", refused.stderr)
    assert not list((other.state.root / "log").iterdir())


def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = Stack(tmp_path / "file" / "state").run("run")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "Not a directory" in refused.stderr


def test_the_tour_is_as_promised_and_leaves_nothing(stack: Stack) -> None:
    before = statuses(stack)
    tour = stack.run("demo")
    assert tour.returncode == 0, tour.stdout + tour.stderr
    assert tour.stdout.count("✓") == 8
    assert statuses(stack).keys() == before.keys()


def test_ctrl_c_leaves_no_process_and_every_key(stack: Stack, database: redis.Redis) -> None:
    known = stack.env
    assert stack.stop(signal.SIGINT) == 0
    assert not stack.processes()
    assert not stack.state.env_file.exists()
    stack.start()
    assert stack.env == known
    check_all_keys(database)


def test_a_killed_run_is_not_in_the_way_of_the_next(stack: Stack, database: redis.Redis) -> None:
    stack.kill("devstack run")
    assert stack.ended() == -signal.SIGKILL
    stack.start()
    check_all_keys(database)


def test_databases_that_nobody_stopped_are_taken_over(stack: Stack, database: redis.Redis) -> None:
    stack.kill("devstack", "celery", "granian")
    assert stack.ended() == -signal.SIGKILL
    assert database.ping()
    stack.start()
    check_all_keys(database)


def test_a_service_that_ends_by_itself_ends_them_all(stack: Stack) -> None:
    stack.kill("worker@localstack")
    assert stack.ended() == 1
    assert "worker was killed by SIGKILL. The last lines of " in stack.output
    assert not stack.processes()
    assert not stack.state.env_file.exists()
