"""A running stack at its most talkative is used, and broken on purpose; then whatever it wrote, sent, showed or kept is
searched for the secrets that were in it."""

import base64
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
import redis

from devstack.demo import wait_until
from devstack.state import REPOSITORY
from tests.stack import Stack, text

METRICS_TOKEN = "the-token-of-prometheus-0123456789"
# A node whose agent is gone, and where something repeats what it is told: the request, with the password.
REPEATER = "import sys\nsys.exit('sh: not found: ' + sys.stdin.read())\n"
# Whatever runs on a node, or serves others: it has no business with our secrets.
STRANGERS = ("devstack.sshd", "agent.pyz", "valkey-server", "redis-server", "webdis", "bin/postgres")


class Talkative(Stack):
    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "BASEKV_LOG_LEVEL": "DEBUG", "BASEKV_METRICS_TOKEN": METRICS_TOKEN}


@dataclass
class Run:
    """What was in play, and what was seen of it from outside."""

    stack: Stack
    secrets: dict[str, str] = field(default_factory=dict)
    broker: list[str] = field(default_factory=list)
    queue: str = ""
    command_lines: dict[str, str] = field(default_factory=dict)
    environments: dict[str, str] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    printed: str = ""

    # --- As a customer --------------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, status: int, **content: object) -> dict:
        headers = {"Authorization": f"Bearer {self.secrets['token']}", **content.pop("headers", {})}
        answer = httpx.request(method, f"{self.stack.url}/api/v1{path}", headers=headers, **content)
        assert answer.status_code == status, answer.text
        return answer.json()

    def is_running(self, id: str) -> bool:
        return self.ask("GET", f"/instances/{id}", 200)["status"] == "running"

    def wait_for(self, id: str) -> None:
        wait_until(lambda: self.is_running(id), "The database did not become running.")

    def last_error(self, id: str) -> str:
        return self.execute(
            "SELECT error FROM instances_operation WHERE instance_id = %s ORDER BY created_at DESC LIMIT 1", id
        )

    # --- As whoever breaks it -------------------------------------------------------------------------------------

    def execute(self, statement: str, *values: object) -> str:
        with psycopg.connect(self.stack.env["DATABASE_URL"], autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return str(cursor.fetchone()[0]) if cursor.description else ""

    @contextmanager
    def renamed(self, table: str) -> Iterator[None]:
        self.execute(f"ALTER TABLE {table} RENAME TO mislaid")
        try:
            yield
        finally:
            self.execute(f"ALTER TABLE mislaid RENAME TO {table}")

    @contextmanager
    def stopped(self, program: str) -> Iterator[None]:
        pids = [pid for pid, line in self.stack.processes().items() if program in line]
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    # --- As whoever looks over its shoulder -----------------------------------------------------------------------

    def watch_broker(self, until: threading.Event) -> None:
        with redis.Redis.from_url(self.stack.env["REDIS_URL"], socket_timeout=None).monitor() as monitor:
            while not until.is_set():
                self.broker.append(str(monitor.next_command()))

    def watch_processes(self, until: threading.Event) -> None:
        """Often enough to see the agent, which lives for some hundredths of a second."""
        root = str(self.stack.state.root)
        looks: Counter[str] = Counter()
        while not until.wait(0.03):
            for pid in filter(str.isdecimal, (entry.name for entry in Path("/proc").iterdir())):
                looks[pid] += 1
                if looks[pid] > 3:  # whoever starts it has started it by then
                    continue
                line, environment = text(Path("/proc", pid, "cmdline")), text(Path("/proc", pid, "environ"))
                if root in line or root in environment:
                    self.command_lines[line] = line
                    self.environments[line] = environment


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    stack = Talkative.started(tmp_path_factory.mktemp("stack") / "state")
    try:
        run = Run(stack)
        run.secrets |= configured(stack)
        over = threading.Event()
        with ThreadPoolExecutor(2) as pool:
            watching = [pool.submit(watch, over) for watch in (run.watch_broker, run.watch_processes)]
            try:
                use_the_console(run)
                use_the_api(run)
                use_the_commands(run)
            finally:
                over.set()
            for watch in watching:
                watch.result()
        yield run
    finally:
        stack.stop()


def configured(stack: Stack) -> dict[str, str]:
    env = stack.env
    return {
        "token": env["BASEKV_TOKEN"],
        "secret key": env["BASEKV_SECRET_KEY"],
        "encryption key": env["BASEKV_ENCRYPTION_KEYS"],
        "metrics token": METRICS_TOKEN,
        "operator's password": env["BASEKV_ADMIN_PASSWORD"],
        "broker's password": urlsplit(env["REDIS_URL"]).password or "",
        "database's password": urlsplit(env["DATABASE_URL"]).password or "",
        "SSH key": Path(env["BASEKV_SSH_KEY"]).read_text().splitlines()[2],
    }


def use_the_api(run: Run) -> None:
    twice = [
        run.ask("POST", "/instances", 201, json={"name": "secretive"}, headers={"Idempotency-Key": "once"})
        for _ in range(2)
    ]
    id = twice[0]["id"]
    assert twice[1]["id"] == id
    credentials = f"/instances/{id}/credentials"
    run.wait_for(id)
    run.secrets["first password"] = run.ask("POST", f"{credentials}/reveal", 200)["password"]
    run.secrets["second password"] = run.ask("POST", f"{credentials}/rotate", 202)["password"]
    run.wait_for(id)

    agent = run.stack.state.root / "node" / "agent.pyz"
    packed = agent.read_bytes()
    agent.write_text(REPEATER)
    run.secrets["password on a bad node"] = run.ask("POST", f"{credentials}/rotate", 202)["password"]
    wait_until(lambda: "as an agent does" in run.last_error(id), "The node's words were not written down.")
    agent.write_bytes(packed)
    run.wait_for(id)

    # A mistake of our own in the worker, with the password in its variables.
    run.execute("UPDATE instances_instance SET previous_password_encrypted = 'broken' WHERE id = %s", id)
    run.ask("POST", f"/instances/{id}/restart", 202)
    wait_until(lambda: "its log says how" in run.last_error(id), "The worker did not fail.")
    run.execute("UPDATE instances_instance SET previous_password_encrypted = '' WHERE id = %s", id)
    run.wait_for(id)

    with run.renamed("instances_operation"):
        run.ask("POST", f"{credentials}/rotate", 500)
        run.ask("POST", "/instances", 500, json={"name": "none"})
    kept = run.execute("SELECT password_encrypted FROM instances_instance WHERE id = %s", id)
    run.execute("UPDATE instances_instance SET password_encrypted = 'broken' WHERE id = %s", id)
    run.ask("POST", f"{credentials}/reveal", 500)
    run.execute("UPDATE instances_instance SET password_encrypted = %s WHERE id = %s", kept, id)

    with run.stopped("celery -A basekv worker"):
        run.secrets["password in the queue"] = run.ask("POST", f"{credentials}/rotate", 202)["password"]
        # It may have asked for one message before it was stopped.
        run.ask("POST", "/instances", 201, json={"name": "waiting"})
        wait_until(lambda: "instances.converge" in queued(run), "The queue did not fill.")
        run.queue = queued(run)
    run.wait_for(id)
    assert run.ask("POST", f"{credentials}/reveal", 200)["password"] == run.secrets["password in the queue"]


def queued(run: Run) -> str:
    broker = redis.Redis.from_url(run.stack.env["REDIS_URL"])
    lists = [key for key in broker.scan_iter() if broker.type(key) == b"list"]
    return decoded([message for key in lists for message in broker.lrange(key, 0, -1)])


def decoded(messages: list[bytes]) -> str:
    """A message's body is base64 in JSON."""
    text = b"\n".join(messages).decode()
    bodies = [base64.b64decode(body).decode() for body in re.findall(r'"body": ?"([^"]+)"', text)]
    return "\n".join([text, *bodies])


def use_the_console(run: Run) -> None:
    env = run.stack.env
    with httpx.Client(follow_redirects=True, base_url=run.stack.url) as browser:
        form = browser.get("/admin/")
        hidden = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)
        assert hidden
        signed_in = browser.post(
            form.url,
            data={
                "csrfmiddlewaretoken": hidden[1],
                "username": env["BASEKV_ADMIN_EMAIL"],
                "password": env["BASEKV_ADMIN_PASSWORD"],
            },
        )
        assert "Log out" in signed_in.text
        [session] = [cookie.value for cookie in browser.cookies.jar if "session" in cookie.name]
        assert session
        run.secrets["session key"] = session
        use = run.ask("POST", "/instances", 201, json={"name": "in the console"})["id"]
        run.wait_for(use)
        run.secrets["password of a shown one"] = run.ask("POST", f"/instances/{use}/credentials/reveal", 200)[
            "password"
        ]
        crawl(browser, run.pages)
        assert any(use in page for page in run.pages)
        for table in ("instances_orphan", "django_session"):
            with run.renamed(table):
                run.pages[f"500 without {table}"] = browser.get("/admin/instances/orphan/").text
        assert browser.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).is_success


def crawl(browser: httpx.Client, pages: dict[str, str]) -> None:
    """Every page of the console that can be reached without changing anything; of pages of one kind, a few."""
    todo, kinds = ["/admin/"], {}
    while todo:
        path = todo.pop()
        kind = re.sub(r"[0-9a-f-]{36}|\d+", "*", path)
        kinds[kind] = kinds.get(kind, 0) + 1
        if path in pages or kinds[kind] > 3 or "logout" in path:
            continue
        answer = browser.get(path)
        assert answer.status_code < 500, path
        pages[path] = answer.text
        todo += [link for link in re.findall(r'href="(/admin/[^"?#]*)', answer.text) if "/jsi18n/" not in link]


COMMANDS = """
import contextlib
from django.core.management import call_command
for arguments in (["audit_invariants", "--nodes", "--json"], ["alerts"], ["list_nodes", "--json"], ["reencrypt"]):
    with contextlib.suppress(SystemExit):
        call_command(*arguments)
"""


def use_the_commands(run: Run) -> None:
    looked = "SELECT count(*) FROM instances_heartbeat WHERE name = 'alerts'"
    wait_until(lambda: run.execute(looked) == "1", "Nobody has looked for alerts.")
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--command", COMMANDS],
        env={**run.stack.environment, **run.stack.env},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert "nothing needs another" in done.stdout, done.stderr
    run.printed = done.stdout + done.stderr


# --- The search -----------------------------------------------------------------------------------------------------


def found_in(text: str | bytes, secrets: Mapping[str, str]) -> set[str]:
    """The names of the secrets that are in it: as they are, in hexadecimal digits, in base64."""
    data = text.encode(errors="replace") if isinstance(text, str) else text
    return {name for name, secret in secrets.items() if any(form in data for form in forms(secret.encode()))}


def forms(secret: bytes) -> list[bytes]:
    # Wherever it begins in a longer text, all but its first and last few characters are the same in base64.
    shifted = [base64.b64encode(b"\0" * shift + secret)[4:-4] for shift in range(3)]
    return [secret, secret.hex().encode(), *shifted]


def leaks(places: Mapping[str, str | bytes], secrets: Mapping[str, str]) -> dict[str, set[str]]:
    return {place[:200]: found for place, text in places.items() if (found := found_in(text, secrets))}


def in_base64(secret: str) -> str:
    return base64.b64encode(f"{{'password': '{secret}'}}".encode()).decode()


@pytest.mark.parametrize("write", [str, lambda secret: secret.encode().hex(), in_base64])
def test_the_search_finds_what_was_planted(write: Callable[[str], str]) -> None:
    assert leaks({"a": "nothing", "b": f"x{write(METRICS_TOKEN)}y"}, {"it": METRICS_TOKEN}) == {"b": {"it"}}


def test_no_log_has_a_secret(run: Run) -> None:
    logs = {path.name: path.read_bytes() for path in (run.stack.state.root / "log").iterdir()}
    assert {"web.log", "worker.log", "beat.log", "node.log", "postgres.log", "valkey.log"} <= logs.keys()
    # It was as talkative as it can be, and what was broken is in them.
    assert b"DEBUG" in logs["worker.log"]
    assert b"our own mistake" in logs["worker.log"]
    assert b"The API failed" in logs["web.log"]
    assert leaks(logs, run.secrets) == {}


def test_the_broker_hears_no_secret(run: Run) -> None:
    text = decoded([line.encode() for line in run.broker])
    assert "instances.converge" in text
    assert "instances.converge" in run.queue
    assert leaks({"monitor": text, "queue": run.queue}, run.secrets) == {}


def test_no_command_line_has_a_secret(run: Run) -> None:
    assert any("agent.pyz" in line for line in run.command_lines)
    assert leaks(run.command_lines, run.secrets) == {}


def test_nobody_but_the_control_plane_has_secrets_in_its_environment(run: Run) -> None:
    ours = {line: text for line, text in run.environments.items() if "basekv" in line and "granian" in line}
    assert "secret key" in found_in("".join(ours.values()), run.secrets)
    strangers = {line: text for line, text in run.environments.items() if any(name in line for name in STRANGERS)}
    configured = {name: secret for name, secret in run.secrets.items() if name != "metrics token"}
    assert len(strangers) >= 4
    assert leaks(strangers, configured) == {}
    customers = {name: secret for name, secret in run.secrets.items() if "password o" in name or name == "SSH key"}
    assert leaks(run.environments, customers) == {}


def test_no_row_of_the_database_has_a_secret_in_clear(run: Run) -> None:
    rows: dict[str, str] = {}
    with psycopg.connect(run.stack.env["DATABASE_URL"]) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            rows[table] = str(connection.execute(f"SELECT t::text FROM {table} t").fetchall())  # type: ignore[arg-type]
    assert "secretive" in rows["instances_instance"]
    assert rows["django_session"] != "[]"
    assert leaks(rows, run.secrets) == {}


def test_no_page_and_no_command_shows_a_secret(run: Run) -> None:
    assert len(run.pages) > 20
    assert leaks(run.pages, run.secrets) == {}
    assert leaks({"commands": run.printed}, run.secrets) == {}


def test_a_file_that_has_a_secret_must_have_it_and_is_for_its_owner_alone(run: Run) -> None:
    root = run.stack.state.root
    must = {
        r"env|ssh_key|secrets/.+|valkey/valkey\.conf": set(run.secrets),
        # The engines check the password that holds; no other, and none of ours.
        r"node/instances/[^/]+/(redis|http)/engine\.conf": {"password in the queue", "password of a shown one"},
    }
    seen = set()
    for path in (path for path in root.rglob("*") if path.is_file() and not path.is_symlink()):
        name = str(path.relative_to(root))
        found = found_in(path.read_bytes(), run.secrets)
        if found and not name.startswith("log/"):
            allowed = next((secrets for pattern, secrets in must.items() if re.fullmatch(pattern, name)), set())
            assert found <= allowed, name
            assert path.stat().st_mode & 0o077 == 0, name
            seen |= found
    assert {"token", "SSH key", "password in the queue"} <= seen
