import subprocess
from pathlib import Path

import pytest

from devstack.environment import elsewhere
from devstack.state import State

OWN = "postgresql://basekv:our-password@127.0.0.1:10001/basekv"


def test_an_address_in_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:mine@db.example/basekv")
    assert elsewhere("DATABASE_URL", OWN) == "postgresql://me:mine@db.example/basekv"


def test_our_own_address_of_an_earlier_start_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", OWN.replace("10001", "10002"))
    assert elsewhere("DATABASE_URL", OWN) is None


def test_no_address_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert elsewhere("DATABASE_URL", OWN) is None


def test_a_shell_reads_in_env_what_was_written(tmp_path: Path) -> None:
    state = State(tmp_path / "a state")
    values = {"PLAIN": "http://127.0.0.1:8000", "OPTIONS": "postgresql://x/y?a=1&b=it's"}
    state.publish(values)
    script = '. "$1"; printf "%s\n" "$PLAIN" "$OPTIONS"'
    found = subprocess.run(["sh", "-c", script, "sh", state.env_file], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == list(values.values())
    assert state.published() == values
    assert state.env_file.read_text().startswith("PLAIN=http://127.0.0.1:8000\n")
