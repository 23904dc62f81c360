"""The local node: an SSH server without root, and the machine behind it.

    python -m devstack.sshd --home DIR --port PORT [--with-parent]

Logs in whoever holds a key of DIR/.ssh/authorized_keys, which is read anew for each login, and runs that key's
`command="..."`, with the asked-for command in SSH_ORIGINAL_COMMAND; a key without one runs what it asks for, which
is how the node is enrolled. No terminal, no forwarding, no file transfer. Like a machine, it owns everything that
was ever started on it: when it is ended, so is that, down to the last daemon.
"""

import argparse
import asyncio
import ctypes
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import asyncssh

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# Seconds that daemons get to end by themselves when the machine goes down.
SHUTDOWN_PATIENCE = 8.0
REAP_PAUSE = 0.1
CHUNK = 64 * 1024
# Our own interpreter first: a version manager's `python3` is a script, which takes eight times as long to start it.
PATH = f"{Path(sys.executable).resolve().parent}:{os.environ.get('PATH', os.defpath)}"

# [options] type base64 [comment]; quoted option values may hold blanks.
KEY_LINE = re.compile(r'^\s*(?:((?:[^\s"]|"(?:[^"\\]|\\.)*")+)\s+)?((?:ssh|ecdsa|sk)-\S+\s+\S+)')
COMMAND_OPTION = re.compile(r'(?:^|,)command="((?:[^"\\]|\\.)*)"')


class Login(NamedTuple):
    """One line of authorized_keys."""

    key: asyncssh.SSHKey
    forced_command: str | None


def logins(lines: str) -> Iterator[Login]:
    """asyncssh reads this file too, but forgets the asked-for command when there is a forced one."""
    for line in lines.splitlines():
        match = KEY_LINE.match(line)
        if match is None or line.lstrip().startswith("#"):
            continue
        command = COMMAND_OPTION.search(match[1] or "")
        yield Login(asyncssh.import_public_key(match[2]), command and command[1].replace('\\"', '"'))


class Machine:
    """Every process that was started here, and what they left behind."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._children: set[int] = set()
        self._starting = 0
        # Orphans become our children, not those of the real machine's init.
        prctl(PR_SET_CHILD_SUBREAPER, 1)

    async def run(self, ssh: "asyncssh.SSHServerProcess[bytes]") -> None:
        """Runs the command of one SSH channel, to its end even if the client goes away, as sshd does."""
        forced = ssh.get_extra_info("forced_command")
        command = forced or ssh.command
        if not command:
            ssh.stderr.write(b"This machine has no terminal. Say which command to run.\n")
            return ssh.exit(2)
        environment = {"PATH": PATH, "HOME": str(self._home), "LANG": "C.UTF-8"}
        if forced and ssh.command:
            environment["SSH_ORIGINAL_COMMAND"] = ssh.command
        status = await self._run(ssh, command, environment)
        if status < 0:
            return ssh.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
        return ssh.exit(status)

    async def _run(self, ssh: "asyncssh.SSHServerProcess[bytes]", command: str, environment: dict[str, str]) -> int:
        pipe = asyncio.subprocess.PIPE
        self._starting += 1
        try:
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", command),
                env=environment,
                cwd=self._home,
                start_new_session=True,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
            )
            self._children.add(process.pid)
        finally:
            self._starting -= 1
        feeding = asyncio.create_task(feed(ssh.stdin, process.stdin))
        await asyncio.gather(forward(process.stdout, ssh.stdout), forward(process.stderr, ssh.stderr))
        status = await process.wait()
        self._children.discard(process.pid)
        feeding.cancel()
        return status

    def reap(self) -> None:
        """Buries orphans; asyncio buries the children that it knows. Called on every SIGCHLD."""
        while zombie := next_zombie():
            if self._starting or zombie in self._children:
                # It may be asyncio's, which is about to bury it; orphans may wait behind it.
                asyncio.get_running_loop().call_later(REAP_PAUSE, self.reap)
                return
            os.waitpid(zombie, 0)

    def shut_down(self) -> None:
        """Ends everything that runs here: gently, then not."""
        end = time.monotonic() + SHUTDOWN_PATIENCE
        told: set[int] = set()
        while running := descendants(os.getpid()):
            late = time.monotonic() > end
            for pid in running if late else running - told:
                send(pid, signal.SIGKILL if late else signal.SIGTERM)
            told |= running
            time.sleep(0.01)
            bury_all()


# Not asyncssh's own redirection: there, a command that does not read its input breaks the whole connection.


async def feed(source: "asyncssh.SSHReader[bytes]", target: asyncio.StreamWriter | None) -> None:
    assert target is not None
    with suppress(OSError, asyncssh.Error):
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()
    target.close()


async def forward(source: asyncio.StreamReader | None, target: "asyncssh.SSHWriter[bytes]") -> None:
    """Also reads on when the client is gone, so that the command need not notice."""
    assert source is not None
    while data := await source.read(CHUNK):
        with suppress(OSError, asyncssh.Error):
            target.write(data)
            await target.drain()


def next_zombie() -> int | None:
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found and found.si_pid


def bury_all() -> None:
    while zombie := next_zombie():
        os.waitpid(zombie, 0)


def descendants(ancestor: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := parent_of(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    generation = children.get(ancestor, [])
    while generation:
        found.update(generation)
        generation = [child for pid in generation for child in children.get(pid, [])]
    return found


def parent_of(entry: Path) -> int | None:
    try:
        # The command's name, in brackets, may hold anything.
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class Door(asyncssh.SSHServer):
    """One connection: keys only."""

    def __init__(self, authorized_keys: Path) -> None:
        self._authorized_keys = authorized_keys

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        try:
            lines = self._authorized_keys.read_text()
        except FileNotFoundError:
            return False
        for login in logins(lines):
            if login.key == key:
                self._connection.set_extra_info(forced_command=login.forced_command)
                return True
        return False


def host_key(path: Path) -> asyncssh.SSHKey:
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(fresh)
        fresh.rename(path)
    return asyncssh.read_private_key(path)


async def serve(home: Path, port: int, machine: Machine) -> None:
    """Until SIGTERM or SIGINT."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGCHLD, machine.reap)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = await asyncssh.create_server(
        lambda: Door(home / ".ssh" / "authorized_keys"),
        "127.0.0.1",
        port,
        server_host_keys=[host_key(home / ".ssh-host-key")],
        process_factory=machine.run,
        encoding=None,
        allow_pty=False,
        agent_forwarding=False,
        x11_forwarding=False,
        line_editor=False,
    )
    async with server:
        sys.stdout.write(f"listening on 127.0.0.1:{server.get_port()}\n")
        sys.stdout.flush()
        await ended.wait()
    loop.remove_signal_handler(signal.SIGCHLD)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m devstack.sshd", description="The local node's SSH server.")
    parser.add_argument("--home", type=Path, required=True, help="the node user's home directory")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--with-parent", action="store_true", help="end when the parent process ends")
    arguments = parser.parse_args()
    if arguments.with_parent:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    machine = Machine(arguments.home.resolve())
    try:
        asyncio.run(serve(arguments.home.resolve(), arguments.port, machine))
    finally:
        machine.shut_down()


if __name__ == "__main__":
    main()
