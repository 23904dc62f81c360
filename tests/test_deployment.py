"""What production relies on: settings that fail loudly, headers, limits, and the files of deploy/."""

import io
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from basekv.celery import app
from devstack import control_plane
from tests import factories

ROOT = Path(__file__).parent.parent
KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
PRODUCTION = {
    "PATH": os.environ["PATH"],
    "BASEKV_SECRET_KEY": "Zb4w7q3kR8vN1xT6mY9pL2sD5fG0hJcVeQaUiOoWzXtCrEyBnMuKlPjHgFdS",
    "BASEKV_ENCRYPTION_KEYS": KEY,
    "BASEKV_SSH_KEY": "/etc/basekv/ssh_key",
    "BASEKV_ALLOWED_HOSTS": "basekv.example.com",
    "BASEKV_HTTPS": "1",
    "DATABASE_URL": "postgresql://127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1",
}
PATHS = {
    "/api/v1/whoami": 401,
    "/api/nothing": 404,
    "/api/docs/": 200,
    "/openapi.json": 200,
    "/admin/": 302,
    "/nothing": 404,
}


def manage(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=PRODUCTION | changes, capture_output=True, text=True)


def test_django_finds_nothing_to_complain_about_in_production():
    checked = manage("check", "--deploy", "--fail-level", "WARNING")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("keys", ["", ",", "short", f"{KEY},{KEY[:-2]}"])
def test_encryption_keys_that_are_none_are_refused_at_the_start_and_not_shown(keys):
    refused = manage("check", BASEKV_ENCRYPTION_KEYS=keys)
    assert refused.returncode == 1
    assert "BASEKV_ENCRYPTION_KEYS must be Fernet keys" in refused.stderr
    assert KEY[:-2] not in refused.stderr


@pytest.mark.django_db
@pytest.mark.parametrize("path, status", PATHS.items())
def test_every_answer_has_the_headers_of_its_safety(client, path, status):
    answer = client.get(path)
    assert answer.status_code == status
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    policy = answer["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert ("script-src" in policy) == (path in ("/admin/", "/api/docs/"))


@pytest.mark.django_db
def test_a_body_that_is_too_long_is_refused_before_it_is_read():
    class Unread(io.RawIOBase):
        def read(self, *_: object) -> bytes:
            raise AssertionError("It was read.")

        readline = read

    client, length = Client(), settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1
    form = {"CONTENT_LENGTH": str(length), "CONTENT_TYPE": "multipart/form-data; boundary=x", "wsgi.input": Unread()}
    answer = client.generic("POST", "/admin/login/", **form)
    assert answer.status_code == 413
    assert "nosniff" in answer["X-Content-Type-Options"]
    # The API says first who may not ask at all, and says it in its own form.
    assert client.generic("POST", "/api/v1/instances", **form).json()["code"] == "invalid_token"
    big = factories.customer().client.post("/api/v1/instances", "x" * length, content_type="application/json")
    assert (big.status_code, big.json()["code"]) == (413, "body_too_large")


def test_no_load_of_operations_delays_the_watch_over_the_fleet():
    app.loader.import_default_modules()
    queues = {name: app.amqp.router.route({}, name)["queue"].name for name in app.tasks if "." in name}
    ours = {name: queue for name, queue in queues.items() if not name.startswith("celery.")}
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= ours.keys()
    assert {name for name, queue in ours.items() if queue != "watch"} == {"instances.converge"}


UNITS = {
    "worker": control_plane.worker({}),
    "watcher": control_plane.watcher({}),
    "web": control_plane.web({"BASEKV_STATIC_ROOT": ""}, 8000),
    "beat": control_plane.beat({}),
}
# What the local stack has of its own: names for its workers, other static files, less patience.
LOCAL = ("--hostname=", "--static-path-", "--workers-kill-timeout=")


@pytest.mark.parametrize("name", UNITS)
def test_systemd_starts_what_the_local_stack_starts(name):
    unit = (ROOT / "deploy" / "systemd" / f"basekv-{name}.service").read_text().replace("\\\n", "")
    program, *options = shlex.split(unit.partition("ExecStart=")[2].partition("\n")[0])
    [_, _, module, *expected] = UNITS[name].command
    assert Path(program).name == module
    assert {o for o in options if not o.startswith(LOCAL)} == {o for o in expected if not o.startswith(LOCAL)}


@pytest.mark.skipif(not shutil.which("chromium"), reason="there is no browser")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path, proof", [("/api/docs/", "createInstance"), ("/admin/", 'name="username"')])
def test_a_browser_shows_the_page_and_its_policy_forbids_nothing_that_it_needs(live_server, tmp_path, path, proof):
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    options = [f"--user-data-dir={tmp_path}", "--virtual-time-budget=10000", live_server.url + path]
    page = subprocess.run([*browser, *options], capture_output=True, text=True, timeout=60)
    assert proof in page.stdout
    assert "Content Security Policy" not in page.stderr
