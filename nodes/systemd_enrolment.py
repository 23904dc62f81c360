"""The way of root: a Debian machine with systemd becomes a node whose agent is a user that may next to nothing.

What is installed is in nodes/systemd/: read it there. Nothing of ours can become root afterwards.
"""

import io
import shlex
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from nodes import packing, transport
from nodes.enrolment import AGENT, Enrolment, Step
from nodes.errors import EnrolmentError, LoginRefused
from nodes.transport import Endpoint

USER = "basekv"
ENGINE_GROUP = "basekv-engine"
HOME = "/var/lib/basekv"
FILES = Path(__file__).resolve().parent / "systemd"
OLDEST_SYSTEMD = 252  # Debian 12; the sandbox needs 247, polkit's rules need 121
LEAST_FREE_MB = 1024

PARTS = ("redis", "memcached", "http")
PROGRAMS = {"valkey": "valkey-server", "redis": "redis-server", "memcached": "memcached", "webdis": "webdis"}

FACTS = """
. /etc/os-release
echo "os=$PRETTY_NAME"
echo "user=$(id -un)"
echo "systemd=$(test -d /run/systemd/system && systemctl --version | sed -n '1s/^systemd \\([0-9]*\\).*/\\1/p')"
echo "free_mb=$(df -Pm /var/lib | awk 'NR == 2 { print $4 }')"
"""
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FIND = f"{PATH}; for program in {' '.join(PROGRAMS.values())} pkaction python3; do command -v $program; done; true"
# The packages' own services are masked before they are installed, or they would start on the usual ports.
INSTALL = """
set -e
export DEBIAN_FRONTEND=noninteractive
command -v apt-get >/dev/null || {{ echo "There is no apt-get here: install {packages} by hand." >&2; exit 1; }}
apt-get update -q
for package in {packages}; do
    case $package in redis-server|memcached|webdis) systemctl mask -q $package.service ;; esac
done
apt-get install -y -q --no-install-recommends {packages}
"""
# `*` is a password that nothing matches; unlike `!` it does not make sshd refuse the key where there is no PAM.
MAKE_USER = f"""
set -e
getent group {ENGINE_GROUP} >/dev/null || groupadd --system {ENGINE_GROUP}
id {USER} >/dev/null 2>&1 || useradd --system --user-group --no-create-home --home-dir {HOME} {USER}
usermod --home {HOME} --shell /bin/sh --password '*' --groups {ENGINE_GROUP} {USER}
install -d -m 700 -o {USER} -g {USER} {HOME} {HOME}/.ssh
rm -f {HOME}/.profile {HOME}/.ssh/rc {HOME}/.ssh/environment
"""


@dataclass
class SystemdEnrolment(Enrolment):
    """`endpoint` is the bootstrap user's; the agent gets one of its own."""

    engines: dict[str, str] = field(default_factory=dict)

    def steps(self) -> Iterator[Step]:
        yield Step("region", self.check_region, changes=False)
        yield Step("host key", self.pin_host_key, changes=False)
        yield Step("system", self.check_system, changes=False)
        yield Step("packages", self.install_packages)
        yield Step("Python", self.check_python)
        yield Step("user", self.make_user)
        yield Step("agent", self.upload_agent)
        yield Step("units", self.install_units)
        yield Step("rights", self.grant_rights)
        yield Step("access", self.restrict_access)
        yield Step("no root", self.prove_that_we_are_not_root)
        yield from self.last_steps()

    def check_system(self) -> str:
        facts = dict(line.split("=", 1) for line in self.run(FACTS).decode().splitlines())
        if facts["user"] != "root":
            raise EnrolmentError(f"--bootstrap-user must be root; this is {facts['user']}.")
        if int(facts["systemd"] or 0) < OLDEST_SYSTEMD:
            found = f"systemd {facts['systemd']}" if facts["systemd"] else "no systemd running"
            raise EnrolmentError(f"{facts['os']} has {found}; a node needs {OLDEST_SYSTEMD} or newer, as in Debian 12.")
        if int(facts["free_mb"]) < LEAST_FREE_MB:
            raise EnrolmentError(f"/var/lib has {facts['free_mb']} MiB free; a node needs {LEAST_FREE_MB} or more.")
        return f"{facts['os']}, systemd {facts['systemd']}, {facts['free_mb']} MiB free"

    def install_packages(self) -> str:
        missing = missing_packages(self.programs())
        if missing:
            self.run(INSTALL.format(packages=" ".join(missing)))
        found = self.programs()
        if still := missing_packages(found):
            raise EnrolmentError(f"After their installation these are still missing: {', '.join(still)}.")
        self.engines = {kind: found[program] for kind, program in PROGRAMS.items() if program in found}
        self.engines |= self.wanted.engines
        return f"installed {' '.join(missing)}" if missing else "all there"

    def programs(self) -> dict[str, str]:
        """Name to path of those that the node has."""
        return {path.rpartition("/")[2]: path for path in self.run(FIND).decode().split()}

    def check_python(self) -> str:
        found = super().check_python()
        self.home = HOME
        return found

    def make_user(self) -> str:
        self.run(MAKE_USER)
        return f"{USER}, at home in {HOME}"

    def upload_agent(self) -> str:
        packed = packing.pack()
        self.install(f"{HOME}/{AGENT}", packed.data, owner=USER, mode=0o600)
        self.install(f"{HOME}/agent.json", self.agent_settings(self.engines), owner=USER, mode=0o600)
        return packed.digest[:12]

    def install_units(self) -> str:
        install = "tar --extract --no-overwrite-dir --directory=/etc/systemd/system"
        enable = "systemctl daemon-reload && systemctl enable -q basekv-boot.service"
        self.run(f"{install} && {enable}", stdin=archive(units(self.python)))
        return ", ".join(f"basekv-{part}@" for part in PARTS)

    def grant_rights(self) -> str:
        rules = filled_in("basekv.rules", self.python)
        self.install("/etc/polkit-1/rules.d/50-basekv.rules", rules.encode(), owner="root", mode=0o644)
        # It notices new rules by itself, and a moment later.
        self.run("systemctl try-restart polkit.service")
        return f"{USER} may start, stop and limit these"

    def restrict_access(self) -> str:
        """From here on our key starts the agent and nothing else."""
        self.install(f"{HOME}/.ssh/authorized_keys", self.key_line(), owner=USER, mode=0o600)
        return "one forced command"

    def prove_that_we_are_not_root(self) -> str:
        """Whoever set the machine up may have let our own key in as root."""
        _, key = public_key_words(self.key_line().decode())
        keys = "/root/.ssh/authorized_keys"
        self.run(f"if test -f {keys}; then sed -i '\\|{key}|d' {keys}; fi")
        try:
            transport.run(self.endpoint, "true", private_key=settings.BASEKV_SSH_KEY, timeout=10)
        except LoginRefused:
            return "our key is refused"
        raise EnrolmentError(f"Our key still lets us in as {self.endpoint.user}: remove it from the node.")

    def record(self) -> str:
        self.endpoint = Endpoint(self.endpoint.host, self.endpoint.port, USER, self.endpoint.host_key)
        return super().record()

    def install(self, path: str, data: bytes, *, owner: str, mode: int) -> None:
        """Whole or not at all."""
        quoted = shlex.quote(path)
        made = f"install -D -m {mode:o} -o {owner} -g {owner} /dev/stdin {quoted}.new"
        self.run(f"{made} && mv {quoted}.new {quoted}", stdin=data)


def missing_packages(programs: dict[str, str]) -> list[str]:
    packages = {"python3": "python3", "pkaction": "polkitd", "memcached": "memcached", "webdis": "webdis"}
    missing = [package for program, package in packages.items() if program not in programs]
    if not programs.keys() & {"valkey-server", "redis-server"}:
        missing.append("redis-server")
    return missing


def units(python: str) -> dict[str, str]:
    """What goes to /etc/systemd/system."""
    engine = filled_in("engine.service", python)
    names = ("basekv-erase@.service", "basekv-boot.service", "basekv.slice")
    return {
        **{f"basekv-{part}@.service": engine for part in PARTS},
        "basekv-redis@.service.d/redis.conf": filled_in("redis.conf", python),
        "basekv-memcached@.service.d/memcached.conf": filled_in("memcached.conf", python),
        **{name: filled_in(name, python) for name in names},
    }


def archive(files: dict[str, str]) -> bytes:
    """A tar of these, to be root's and for all to read."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def filled_in(name: str, python: str) -> str:
    text = (FILES / name).read_text()
    agent = packing.command(python, f"{HOME}/{AGENT}")
    for word, value in {"user": USER, "home": HOME, "engine_group": ENGINE_GROUP, "agent": agent}.items():
        text = text.replace(f"@{word}@", value)
    return text


def public_key_words(line: str) -> tuple[str, str]:
    """Kind and key of an authorized_keys line."""
    words = line.split()
    return words[-3], words[-2]
