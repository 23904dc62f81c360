"""What the agent's user may do on a node, and above all what it may not: tried as that user, on a real machine."""

import asyncio
import uuid

import asyncssh
import pytest

from nodes.systemd_enrolment import USER
from tests.fleet.commands import Failed
from tests.fleet.enrolling import enroll
from tests.fleet.fleet import Fleet
from tests.fleet.machine import Machine

pytestmark = pytest.mark.django_db

ID = str(uuid.UUID(int=1))
ENGINE = f"basekv-redis@{ID}.service"


@pytest.fixture(scope="package")
def enrolled() -> list[Machine]:
    """Filled by the first test, since an enrolment needs the database."""
    return []


@pytest.fixture
def machine(fleet: Fleet, enrolled: list[Machine]) -> Machine:
    if not enrolled:
        enroll(fleet.machines[0])
        enrolled.append(fleet.machines[0])
    return enrolled[0]


def as_agent(machine: Machine, command: str) -> str:
    """Raises Failed. Harmless where it succeeds."""
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--reset-env"]
    return machine.inside(*user, "sh", "-c", command)


ALLOWED = [
    f"systemctl --no-ask-password set-property {ENGINE} MemoryMax=100M",
    f"systemctl --no-ask-password start {ENGINE}",
    f"systemctl --no-ask-password stop {ENGINE}",
    f"systemctl --no-ask-password start basekv-erase@{ID}.service",
]


def test_it_may_limit_start_stop_and_erase_databases(machine: Machine) -> None:
    as_agent(machine, f"mkdir -p ~/instances/{ID}/redis/data && echo 'exec sleep 60' > ~/instances/{ID}/redis/start")
    machine.root(f"chmod -R a+rX /var/lib/basekv/instances/{ID}/redis")
    for command in ALLOWED:
        as_agent(machine, command)
    as_agent(machine, f"rm -r ~/instances/{ID}")


UNITS = [
    "systemctl start systemd-timesyncd.service",
    "systemctl stop ssh.service",
    "systemctl restart ssh.service",
    "systemctl kill ssh.service",
    "systemctl set-property ssh.service MemoryMax=1G",
    "systemctl start basekv-boot.service",
    "systemctl stop basekv.slice",
    "systemctl set-property basekv.slice MemoryMax=1G",
    f"systemctl stop basekv-erase@{ID}.service",
    f"systemctl start basekv-erase@{ID}x.service",
    "systemctl start 'basekv-erase@..-etc.service'",
    f"systemctl start xbasekv-redis@{ID}.service",
    f"systemctl kill {ENGINE}",
    f"systemctl freeze {ENGINE}",
    f"systemctl clean {ENGINE}",
    f"systemctl enable {ENGINE}",
    f"systemctl mask {ENGINE}",
    f"systemctl revert {ENGINE}",
    "systemctl disable basekv-boot.service",
    "systemctl daemon-reload",
    "systemctl daemon-reexec",
    "systemctl set-environment A=B",
    "systemctl reboot",
    "systemctl poweroff",
    "systemctl isolate rescue.target",
    "systemd-run true",
    f"systemd-run --unit={ENGINE} true",
    "systemd-run --unit=basekv-other true",
    "busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager "
    "BindMountUnit sssbb " + ENGINE + " /etc /etc false true",
    "loginctl enable-linger root",
    "hostnamectl set-hostname other",
]
FILES = [
    "cat /etc/shadow",
    "ls /root",
    "ls /var/lib/private",
    "ls /var/lib/private/basekv-redis",
    "cat /etc/ssh/ssh_host_ed25519_key",
    "ls /etc/polkit-1/rules.d",
    "touch /etc/polkit-1/rules.d/00-mine.rules",
    "touch /etc/systemd/system/mine.service",
    "touch /etc/systemd/system/basekv-redis@.service.d/mine.conf",
    "echo >> /etc/systemd/system/basekv-redis@.service",
    "mkdir -p /etc/systemd/system.control/ssh.service.d",
    "touch /run/systemd/system/mine.service",
    "touch /usr/local/bin/mine",
    "echo >> /etc/passwd",
    "journalctl --system --lines=1 --quiet | grep .",
]
ROOT = [
    "su root -c true < /dev/null",
    "sudo -n true",
    "pkexec true < /dev/null",
    "setpriv --reuid=0 true",
    "mount -t tmpfs none /mnt",
    "chown root ~/agent.json",
    "unshare --mount true",
    "kill -0 1",
]


@pytest.mark.parametrize("command", UNITS + FILES + ROOT)
def test_it_may_not(machine: Machine, command: str) -> None:
    if command.startswith("systemctl"):
        command = command.replace("systemctl", "systemctl --no-ask-password", 1)
    with pytest.raises(Failed):
        as_agent(machine, f"cd; {command}")


async def over_ssh(machine: Machine, key: str) -> dict[str, str]:
    """What came of each thing that one can ask of SSH. (With sftp it is the agent that waits for a request.)"""
    found: dict[str, str] = {}
    options = {"username": USER, "client_keys": [key], "known_hosts": None, "config": None, "agent_path": None}
    async with asyncssh.connect(machine.address, **options) as connection:

        async def attempt(name, work):
            try:
                result = await asyncio.wait_for(work, 3)
            except (asyncssh.Error, asyncssh.ChannelListenError, OSError, ValueError) as error:
                found[name] = f"refused: {error!r}"
            else:
                found[name] = str(getattr(result, "stdout", "allowed"))

        await attempt("command", connection.run("id", input="id\n"))
        await attempt("shell", connection.run(None, input="id\n"))
        await attempt("terminal", connection.run("id", input="id\n", term_type="xterm"))
        await attempt("sftp", connection.start_sftp_client())
        await attempt("forwarding", connection.open_connection("127.0.0.1", 22))
        await attempt("remote forwarding", connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 22))
        await attempt("socket", connection.open_unix_connection("/run/dbus/system_bus_socket"))
    return found


def test_over_ssh_there_is_the_agent_and_nothing_else(machine: Machine, settings) -> None:
    found = asyncio.run(over_ssh(machine, settings.BASEKV_SSH_KEY))
    agent = '{"ok": false, "code": "bad_request"'
    assert {name: text.startswith((agent, "refused: ")) for name, text in found.items()} == dict.fromkeys(found, True)
    assert found["command"].startswith(agent), "another command than the forced one does not run"
    assert found["shell"].startswith(agent)
    assert {name for name, text in found.items() if text.startswith("refused")} >= {"terminal", "forwarding"}, found
    assert found.keys() >= {"remote forwarding", "socket", "sftp"}


def test_a_password_is_not_asked_for(machine: Machine) -> None:
    async def login() -> None:
        async with asyncssh.connect(
            machine.address, username=USER, password="", client_keys=None, known_hosts=None, config=None
        ):
            pass

    with pytest.raises(asyncssh.PermissionDenied):
        asyncio.run(login())
