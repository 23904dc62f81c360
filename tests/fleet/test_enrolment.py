"""A machine that was just rented becomes a node by one command: whatever interrupts it, and with no root for us."""

from pathlib import Path

import pytest
from django.core.management import CommandError

from accounts.actors import SYSTEM
from nodes import enrolment, transport
from nodes.errors import EnrolmentError, LoginRefused
from nodes.health import endpoint
from nodes.models import Node
from nodes.systemd_enrolment import HOME, SystemdEnrolment
from tests.fleet import apt
from tests.fleet.enrolling import enroll
from tests.fleet.fleet import Fleet
from tests.fleet.machine import Machine

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="package")
def machine(fleet: Fleet) -> Machine:
    """Used by this module first, so that it is as it was rented."""
    return fleet.machines[1]


def everything_of_ours(machine: Machine) -> str:
    return machine.root(
        "getent passwd basekv; getent group basekv-engine; find /etc /var/lib /root /home -xdev -newer /etc/hostname "
        "-name '*basekv*' | sort; ls -A /root/.ssh"
    )


def test_a_dry_run_looks_and_changes_nothing(machine: Machine) -> None:
    machine.root("userdel basekv; rm -rf /var/lib/basekv /etc/polkit-1/rules.d/50-basekv.rules; true")
    before = everything_of_ours(machine)
    shown = enroll(machine, **{"dry-run": True})
    assert "Debian GNU/Linux 12" in shown
    assert "Nothing was changed." in shown
    assert everything_of_ours(machine) == before
    assert not Node.objects.exists()


def test_another_host_key_is_refused_before_anything_is_done(machine: Machine) -> None:
    before = everything_of_ours(machine)
    with pytest.raises(CommandError, match="not the one expected") as refused:
        enroll(machine, **{"host-key": "SHA256:" + "A" * 43})
    assert refused.value.returncode == 1
    assert everything_of_ours(machine) == before


def test_a_machine_that_does_not_answer_is_a_reason_to_try_again(machine: Machine) -> None:
    with pytest.raises(CommandError) as failed:
        enroll(machine, **{"ssh-port": 23})
    assert failed.value.returncode == 75


class Interrupted(EnrolmentError):
    pass


def interrupted_after(number: int) -> type[SystemdEnrolment]:
    class Interrupting(SystemdEnrolment):
        def steps(self):
            for index, step in enumerate(super().steps()):
                yield step
                if index == number:
                    yield enrolment.Step("interruption", self.interrupt)

        def interrupt(self) -> str:
            raise Interrupted("pulled the plug")

    return Interrupting


def test_an_enrolment_that_is_interrupted_after_a_step_is_simply_run_again(machine: Machine, monkeypatch) -> None:
    titles = [step.title for step in SystemdEnrolment.steps(SystemdEnrolment(None, lambda shown: True, SYSTEM))]
    for number in range(4, len(titles), 2):
        with monkeypatch.context() as patch:
            command = "nodes.management.commands.enroll_node.SystemdEnrolment"
            patch.setattr(command, interrupted_after(number))
            with pytest.raises(CommandError, match="pulled the plug"):
                enroll(machine)
    assert f"{machine.name} is active and online." in enroll(machine)


def test_nothing_of_ours_becomes_root_and_our_own_key_is_taken_out(machine: Machine, settings) -> None:
    ours = Path(settings.BASEKV_SSH_KEY + ".pub").read_text()
    machine.root("cat >> /root/.ssh/authorized_keys", stdin=ours)
    enroll(machine)
    keys = machine.root("cat /root/.ssh/authorized_keys")
    assert ours.split()[1] not in keys
    assert len(keys.splitlines()) == 1, "the operator's key stays"
    root = transport.Endpoint(machine.address, 22, "root", Node.objects.get().host_key)
    with pytest.raises(LoginRefused):
        transport.run(root, "id", private_key=settings.BASEKV_SSH_KEY)
    assert machine.root("grep -r basekv /etc/sudoers /etc/sudoers.d 2>/dev/null || true") == ""
    assert machine.root("find / -xdev -user root -perm -4000 -newer /etc/hostname 2>/dev/null || true") == ""


def test_the_user_has_no_password_no_rc_files_and_no_groups_but_the_engines(machine: Machine) -> None:
    assert machine.root("getent shadow basekv").split(":")[1] == "*"
    assert machine.root("getent passwd basekv").strip().endswith(f":{HOME}:/bin/sh")
    assert machine.root("id --groups --name basekv").split() == ["basekv", "basekv-engine"]
    assert sorted(machine.root(f"ls -A {HOME}").split()) == [".ssh", "agent.json", "agent.pyz", "engines.json"]
    modes = machine.root(f"stat --format='%U %a %n' {HOME} {HOME}/.ssh {HOME}/* {HOME}/.ssh/authorized_keys")
    assert {line.split()[0] for line in modes.splitlines()} == {"basekv"}
    assert {line.split()[1] for line in modes.splitlines()} == {"600", "700"}


def test_what_is_installed_belongs_to_root(machine: Machine) -> None:
    files = "/etc/systemd/system/basekv* /etc/systemd/system/basekv-*.d/* /etc/polkit-1/rules.d/50-basekv.rules"
    owners = machine.root(f"stat --format='%U:%G %a %F' {files}").splitlines()
    assert set(owners) <= {"root:root 644 regular file", "root:root 755 directory"}
    assert machine.root("systemd-analyze verify /etc/systemd/system/basekv-redis@.service 2>&1 || true") == ""


def test_our_key_starts_the_agent_whatever_is_asked_for(machine: Machine, settings) -> None:
    enroll(machine)
    node = endpoint(Node.objects.get())
    done = transport.run(node, "id; cat /etc/passwd", private_key=settings.BASEKV_SSH_KEY)
    assert done.stdout.startswith(b'{"ok": false, "code": "bad_request"')


def test_missing_engines_are_installed_by_apt_and_their_own_services_do_not_start(machine: Machine) -> None:
    apt.know(machine)
    machine.root("dpkg --purge memcached webdis && systemctl daemon-reload")
    with pytest.raises(CommandError, match="Unable to locate package memcached") as failed:
        enroll(machine)
    assert failed.value.returncode == 1

    apt.know(machine, "memcached", "webdis")
    shown = enroll(machine)
    assert "installed memcached webdis" in shown
    assert f"{machine.name} is active and online." in shown
    assert Node.objects.get().engines == ["memcached", "redis", "webdis"]
    for service in ("memcached", "webdis"):
        assert machine.root(f"systemctl is-active {service} || true").strip() == "inactive"
    assert "all there" in enroll(machine), "nothing is installed a second time"
