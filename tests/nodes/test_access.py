"""Which keys may start the agent: the agent writes it down itself."""

import base64
import json
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from devstack import keys
from nodes import transport
from nodes.errors import LoginRefused
from nodes.ssh_keys import public_key
from tests.nodes.conftest import AgentNode, SshNode

KILLS = 40


def new_key() -> str:
    return keys.public(keys.make_private())


def written(node: AgentNode) -> str:
    return (node.home / ".ssh" / "authorized_keys").read_text()


def line(node: AgentNode, key: str) -> str:
    return f'restrict,command="{node.command}" {key} basekv\n'


def test_each_key_may_start_the_agent_and_nothing_else(node: AgentNode) -> None:
    old, new = new_key(), new_key()
    for _ in range(2):
        assert node.ask("authorize", keys=[old, new])["ok"]
        assert written(node) == line(node, old) + line(node, new)
    assert [path.name for path in (node.home / ".ssh").iterdir()] == ["authorized_keys"]
    assert (node.home / ".ssh" / "authorized_keys").stat().st_mode & 0o777 == 0o600


def test_keys_that_are_not_named_are_gone_whatever_they_were_allowed(ssh_node: SshNode, ssh_keys: Any) -> None:
    ssh_node.authorize("")
    ours = public_key(str(ssh_keys / "id"))
    assert ssh_node.ask("authorize", keys=[ours])["ok"]
    assert written(ssh_node) == line(ssh_node, ours)
    assert transport.call(ssh_node.endpoint, {"verb": "probe"})["ok"]
    assert ssh_node.ask("authorize", keys=[new_key()])["ok"]
    transport.close()
    with pytest.raises(LoginRefused):
        transport.call(ssh_node.endpoint, {"verb": "probe"})


def blob(*fields: bytes) -> str:
    return base64.b64encode(b"".join(len(field).to_bytes(4, "big") + field for field in fields)).decode()


# Not new for every run: the tests' names have it in them.
GOOD = "ssh-ed25519 " + blob(b"ssh-ed25519", bytes(range(32)))
WORD = GOOD.split()[1]


@pytest.mark.parametrize(
    "smuggled",
    [
        [],
        [GOOD] * 5,
        GOOD,
        [None],
        [[GOOD]],
        [""],
        [GOOD + "\n"],
        ["\n" + GOOD],
        [f"{GOOD}\n{GOOD}"],
        [f"{GOOD}\r{GOOD}"],
        [f"{GOOD} comment"],
        [f'command="sh" {GOOD}'],
        [f"no-pty {GOOD}"],
        [f"ssh-ed25519  {WORD}"],
        [f"ssh-ed25519\t{WORD}"],
        [f"ssh-ed25519 {WORD[:30]}\n{WORD[30:]}"],
        [f"ssh-ed25519 {WORD[:-4]}"],
        [f"ssh-ed25519 {WORD}===="],
        [f"ssh-ed25519 {WORD}\u2028"],
        [f"ssh-rsa {WORD}"],
        [f"cert-authority {WORD}"],
        ["ssh-ed25519 " + blob(b"ssh-ed25519")],
        ["ssh-ed25519 " + blob(b"ssh-ed25519", b"")],
        ["ssh-ed25519 " + blob(b"ssh-ed25519", b"x" * 32, b"more")],
        ["ssh-ed25519 " + blob(b"ssh-ed25519", b"x" * 4096)],
        ["ssh-ed25519-cert-v01@openssh.com " + blob(b"ssh-ed25519-cert-v01@openssh.com", b"x" * 32)],
        ["# " + blob(b"#", b"x" * 32)],
    ],
    ids=repr,
)
def test_nothing_but_keys_gets_into_the_file(node: AgentNode, smuggled: object) -> None:
    assert node.ask("authorize", keys=[GOOD])["ok"]
    answer = node.ask("authorize", keys=smuggled)
    assert (answer["ok"], answer.get("code"), answer.get("retry")) == (False, "bad_request", False)
    assert written(node) == line(node, GOOD)


def test_an_agent_that_cannot_be_started_changes_nothing(node: AgentNode) -> None:
    node.ask("authorize", keys=[GOOD])
    before = written(node)
    # The agent that answers is in memory by now; what the next login would start is the file.
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import agent.__main__, agent.access, json.decoder\n"
        "open(sys.argv[1], 'w').close(); agent.__main__.main()"
    )
    request = json.dumps({"verb": "authorize", "keys": [new_key()]})
    command = [sys.executable, "-c", program, str(node.packed_file)]
    answer = json.loads(subprocess.run(command, input=request.encode(), capture_output=True, check=True).stdout)
    assert (answer["code"], answer["retry"]) == ("internal", False)
    assert written(node) == before


def test_a_kill_leaves_the_old_keys_or_the_new_ones(node: AgentNode) -> None:
    request = {"verb": "authorize", "keys": [new_key()]}
    began = time.monotonic()
    node.send(json.dumps(request).encode())
    length = time.monotonic() - began
    for attempt in range(KILLS):
        before, request["keys"] = written(node), [new_key() for _ in range(4)]
        agent = node.start()
        agent.stdin.write(json.dumps(request).encode())  # type: ignore[union-attr]
        agent.stdin.close()  # type: ignore[union-attr]
        time.sleep(length * attempt / KILLS)
        agent.send_signal(signal.SIGKILL)
        agent.wait()
        agent.stdout.close()  # type: ignore[union-attr]
        assert written(node) in (before, "".join(line(node, key) for key in request["keys"]))
    assert node.ask("authorize", keys=[GOOD])["ok"]
    assert written(node) == line(node, GOOD)
