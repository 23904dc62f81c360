"""One real machine: Debian with systemd and OpenSSH, in a container with its own disk, address and host key."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from devstack import keys
from tests.fleet.cgroups import Groups, has_version_1, pids_below
from tests.fleet.commands import run
from tests.fleet.network import Network
from tests.waiting import eventually

BOOT_PATIENCE = 40.0
SHUTDOWN_PATIENCE = 20.0
# systemd's own: shut down in order.
HALT = "SIGRTMIN+3"
# A test run that is killed takes its machines with it: its own end kills systemd-nspawn, and that the container.
DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL")


class Machine:
    """`root_key`: the private key with which root signs in, as on a machine that was just rented."""

    def __init__(self, network: Network, index: int, *, rootfs: Path, directory: Path, root_key: Path) -> None:
        self.name = f"node{index}"
        self.address = network.address(index)
        self.root_key = root_key
        self._network, self._index = network, index
        self._rootfs, self._directory = rootfs, directory / self.name
        self.disk = self._directory / "root"
        self._host_key = keys.make_private()
        self._groups = Groups(network.namespace(index))
        self._container: subprocess.Popen[bytes] | None = None

    @property
    def fingerprint(self) -> str:
        return keys.fingerprint(self._host_key)

    def install(self) -> None:
        """A disk with the operating system on it, and a cable."""
        for name in ("changes", "work", "root"):
            (self._directory / name).mkdir(parents=True)
        layers = f"lowerdir={self._rootfs},upperdir={self._directory}/changes,workdir={self._directory}/work"
        run("mount", "-t", "overlay", "overlay", "-o", layers, self.disk)
        (self.disk / "etc/hostname").write_text(f"{self.name}\n")
        (self.disk / "etc/hosts").write_text(f"127.0.0.1 localhost {self.name}\n")
        self.new_host_key(self._host_key)
        (self.disk / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
        (self.disk / "root/.ssh/authorized_keys").write_text(keys.public(self.root_key.read_text()) + "\n")
        self._network.plug_in(self._index)

    def new_host_key(self, private: str) -> None:
        self._host_key = private
        path = self.disk / "etc/ssh/ssh_host_ed25519_key"
        path.touch(mode=0o600)
        path.write_text(private)

    def start(self) -> None:
        """Power on. See `wait`."""
        self._groups.make()
        environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "no" if has_version_1() else "yes"}
        command = ["systemd-nspawn", "--quiet", "--keep-unit", "--register=no", f"--kill-signal={HALT}"]
        command += [f"--directory={self.disk}", f"--machine={self._network.namespace(self._index)}"]
        command += [f"--network-namespace-path=/run/netns/{self._network.namespace(self._index)}"]
        with (self._directory / "console").open("ab") as console:
            self._container = subprocess.Popen(
                [*DIE_WITH_US, *self._groups.join(), *command, "--console=pipe", "/sbin/node-init"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=environment,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Until sshd shows its banner."""
        eventually(self._banner, f"{self.name} up (see {self._directory}/console)", seconds=BOOT_PATIENCE)

    def _banner(self) -> bool:
        try:
            with socket.create_connection((self.address, 22), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def reboot(self) -> None:
        self.shut_down()
        self.start()
        self.wait()

    def shut_down(self) -> None:
        """In order, as `systemctl poweroff` does."""
        assert self._container is not None
        self._container.terminate()
        self._container.wait(SHUTDOWN_PATIENCE)

    def cut_power(self) -> None:
        """Killing its init ends everything in a container."""
        if self._container is None or self._container.poll() is not None:
            return
        for pid in self._groups.pids() - {self._container.pid}:
            if is_init(pid):
                os.kill(pid, signal.SIGKILL)
        try:
            self._container.wait(SHUTDOWN_PATIENCE)
        except subprocess.TimeoutExpired:
            self._container.kill()
            self._container.wait()

    def uninstall(self) -> None:
        """Nothing of it is left."""
        self.cut_power()
        if os.path.ismount(self.disk):
            run("umount", self.disk)
        self._groups.remove()
        shutil.rmtree(self._directory, ignore_errors=True)

    def partition(self) -> None:
        self._network.partition(self._index)

    def heal(self) -> None:
        self._network.heal(self._index)

    def pids(self, units: str) -> set[int]:
        return {pid for path in self._groups.paths for pid in pids_below(path, units)}

    def root(self, command: str, stdin: str = "") -> str:
        """What a shell of root's on it prints. Raises commands.Failed."""
        return self.inside("sh", "-c", command, stdin=stdin)

    def inside(self, *command: str, stdin: str = "") -> str:
        return run(*self.enter(), *command, stdin=stdin)

    def enter(self) -> list[str]:
        """What to put before a command for root to run it in the machine."""
        init = next(pid for pid in self._groups.pids() if is_init(pid))
        namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root"]
        return ["nsenter", f"--target={init}", *namespaces, "--wd=/"]


def is_init(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    [namespaces] = [line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")]
    return len(namespaces) > 1 and namespaces[-1] == "1"
