"""Speaks with the nodes' agents over SSH: the only place that knows it.

One event loop in a background thread serves all threads of the process, over connections that are kept. The host key
is pinned, and every wait has an end. Agent calls are idempotent, so a call whose connection broke is made once more.
"""

import asyncio
import os
import threading
from collections.abc import Container, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import asyncssh
import orjson
from django.conf import settings

from nodes import ssh_keys
from nodes.errors import Abandoned, AgentError, Garbage, HostKeyMismatch, LoginRefused, TransportError, Unreachable
from nodes.fingerprint import fingerprint

T = TypeVar("T")

# Seconds. The agent ends its own work in 20 and is killed after 30 (nodes.agent); a lease lasts 60 (instances). So
# nobody stops listening to an agent that still answers, and no agent outlives the lease under which it was called.
CALL_TIMEOUT = 25.0
# Covers the whole login: a frozen host accepts TCP and then says nothing.
CONNECT_TIMEOUT = 5.0
# Of every command that enrolment runs; package installation is the slowest of them.
RUN_TIMEOUT = 300.0
KEEPALIVE_INTERVAL = 5
KEEPALIVE_COUNT = 3
# OpenSSH allows 10 sessions for a connection, and frees them late.
CHANNELS = 4
CHANNEL_ATTEMPTS = 5
CHANNEL_PAUSE = 0.05
CALLS_AT_ONCE = 200
MAX_ANSWER_BYTES = 8 * 1024 * 1024
# What is asked for; the node's authorized_keys decides what is run.
FORCED_COMMAND = "agent"
BROKEN = (OSError, asyncssh.Error)


@dataclass(frozen=True)
class Endpoint:
    """Where an agent is. `host_key`: one OpenSSH public key line, such as `ssh-ed25519 AAAA...`."""

    host: str
    port: int
    user: str
    host_key: str


class Completed(NamedTuple):
    exit_status: int
    """-1 when a signal ended the command."""
    stdout: bytes
    stderr: bytes


def call(endpoint: Endpoint, request: Mapping[str, object], *, timeout: float = CALL_TIMEOUT) -> dict[str, Any]:
    """The agent's answer to one request.

    Raises a TransportError when there is none within `timeout` seconds, AgentError when the answer is a refusal.
    """
    return _loop().run_while_wanted(_call("one", endpoint, request, timeout))


def call_many(
    requests: Sequence[tuple[Endpoint, Mapping[str, object]]],
    *,
    timeout: float = CALL_TIMEOUT,
) -> list[dict[str, Any] | TransportError | AgentError]:
    """`call` for many at once, in their order; errors are returned. `timeout` is each call's own.

    Over connections of its own: a probe must not queue behind slow work on the same node.
    """
    return _loop().run(_call_many(requests, timeout))


def call_with_key(
    endpoint: Endpoint, request: Mapping[str, object], private_key: str, *, timeout: float = CALL_TIMEOUT
) -> dict[str, Any]:
    """`call` over a new connection with this private key, and so the proof that the node takes it."""
    completed = run(endpoint, FORCED_COMMAND, stdin=orjson.dumps(request), private_key=private_key, timeout=timeout)
    return _answer(endpoint, request, completed)


def run(
    endpoint: Endpoint,
    command: str,
    *,
    stdin: bytes = b"",
    private_key: str | None = None,
    timeout: float = RUN_TIMEOUT,
) -> Completed:
    """Runs a shell command over a new connection, with a key that may do so.

    `private_key` is the path of an OpenSSH private key; None uses the SSH agent and the user's own keys.
    Raises a TransportError. A failed command is no error.
    """
    return _loop().run(_run(endpoint, command, stdin, private_key, timeout))


def scan_host_key(host: str, port: int) -> str:
    """The public key line that the host shows to anybody; whether it is the right one, only a person can say."""
    return _loop().run(_scan(host, port))


def abandon() -> None:
    """Ends every `call` that is under way, and every later one, with Abandoned: for a process that must end soon."""
    _loop().abandon()


def close(*, but: Container[Endpoint] = ()) -> None:
    """Closes this process's kept connections, once their calls have ended: all, or those to nobody of `but`."""
    _loop().run(_close(but))


# --- The loop ---------------------------------------------------------------------------------------------------


class _Loop:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.links: dict[tuple[str, Endpoint], _Link] = {}
        self._under_way: set[Future[Any]] = set()
        self._abandoned = False
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="ssh", daemon=True).start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def run_while_wanted(self, work: Coroutine[Any, Any, T]) -> T:
        """Raises Abandoned."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._under_way.add(future)
        try:
            if self._abandoned:  # after the line above, so that none slips through
                future.cancel()
            return future.result()
        except CancelledError:
            raise Abandoned("This process is ending.") from None
        finally:
            self._under_way.discard(future)

    def abandon(self) -> None:
        self._abandoned = True
        for future in list(self._under_way):
            future.cancel()


_current: _Loop | None = None
_current_lock = threading.Lock()


def _loop() -> _Loop:
    """This process's loop: a fork of Celery's inherits the object, and not the thread."""
    global _current
    with _current_lock:
        if _current is None or _current.pid != os.getpid():
            _current = _Loop()
        return _current


# --- Connections ------------------------------------------------------------------------------------------------


class _Client(asyncssh.SSHClient):
    """Accepts the pinned host key, and keeps what it saw for the error message."""

    def __init__(self, pinned: asyncssh.SSHKey) -> None:
        self._pinned = pinned
        self.seen: asyncssh.SSHKey | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.seen = key
        return key == self._pinned


class _Link:
    """The kept connection to one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._connection: asyncssh.SSHClientConnection | None = None
        self._connecting = asyncio.Lock()
        self._channels = asyncio.Semaphore(CHANNELS)
        self._calls = 0
        self._retired = False

    async def call(self, stdin: bytes) -> Completed:
        """The forced command with this input. A connection that broke while it was kept is replaced, once."""
        self._calls += 1
        try:
            async with self._channels:
                was_kept = self._is_connected()
                try:
                    return await _execute(await self._connected(), FORCED_COMMAND, stdin)
                except BROKEN:
                    if not was_kept:
                        raise
                    return await _execute(await self._connected(), FORCED_COMMAND, stdin)
        except BROKEN as error:
            raise _unreachable(self._endpoint, error) from error
        finally:
            self._calls -= 1
            self._close_if_done()

    def retire(self) -> None:
        """No new calls will come: close when those under way have ended."""
        self._retired = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._retired and self._calls == 0 and self._connection is not None:
            self._connection.abort()

    def _is_connected(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    async def _connected(self) -> asyncssh.SSHClientConnection:
        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                self._connection = await _connect(self._endpoint, client_keys=[_own_key()], agent_path=None)
            return self._connection


async def _connect(endpoint: Endpoint, **options: Any) -> asyncssh.SSHClientConnection:
    """A connection with login done, to whom holds the pinned host key. Raises a TransportError."""
    pinned = _pinned(endpoint)
    client = _Client(pinned)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await asyncssh.connect(
                endpoint.host,
                endpoint.port,
                username=endpoint.user,
                client_factory=lambda: client,
                known_hosts=b"",
                server_host_key_algs=ssh_keys.host_key_algorithms(pinned),
                preferred_auth="publickey",
                keepalive_interval=KEEPALIVE_INTERVAL,
                keepalive_count_max=KEEPALIVE_COUNT,
                config=None,
                **options,
            )
    except TimeoutError:
        raise Unreachable(f"{_name(endpoint)} did not finish the login in {CONNECT_TIMEOUT:g} s.") from None
    except asyncssh.HostKeyNotVerifiable as error:
        raise _mismatch(endpoint, client.seen) from error
    except asyncssh.PermissionDenied as error:
        raise LoginRefused(f"{_name(endpoint)} refuses the login of {endpoint.user}.") from error
    except BROKEN as error:
        raise _unreachable(endpoint, error) from error


async def _execute(connection: asyncssh.SSHClientConnection, command: str, stdin: bytes) -> Completed:
    """Raises one of BROKEN when the connection ends first, Garbage when the output has no end."""
    process = await _open(connection, command)
    try:
        with suppress(BrokenPipeError):  # a command need not read its input
            process.stdin.write(stdin)
            process.stdin.write_eof()
        stdout, stderr = await asyncio.gather(_read(process.stdout), _read(process.stderr))
        await process.wait_closed()
    finally:
        process.close()
    if process.exit_status is None and process.exit_signal is None:
        raise asyncssh.ConnectionLost("the connection was lost")
    return Completed(-1 if process.exit_status is None else process.exit_status, stdout, stderr)


async def _open(connection: asyncssh.SSHClientConnection, command: str) -> "asyncssh.SSHClientProcess[bytes]":
    for attempt in range(1, CHANNEL_ATTEMPTS + 1):
        try:
            return await connection.create_process(command, encoding=None)
        except asyncssh.ChannelOpenError:
            if attempt == CHANNEL_ATTEMPTS:
                raise
        await asyncio.sleep(CHANNEL_PAUSE * attempt)
    raise AssertionError("the last attempt returns or raises")


async def _read(stream: "asyncssh.SSHReader[bytes]") -> bytes:
    output = bytearray()
    while chunk := await stream.read(64 * 1024):
        output += chunk
        if len(output) > MAX_ANSWER_BYTES:
            raise Garbage(f"The node sent more than {MAX_ANSWER_BYTES} bytes.")
    return bytes(output)


# --- Calls ------------------------------------------------------------------------------------------------------


async def _call(lane: str, endpoint: Endpoint, request: Mapping[str, object], timeout: float) -> dict[str, Any]:
    links = _loop().links
    link = links.setdefault((lane, endpoint), _Link(endpoint))
    try:
        async with asyncio.timeout(timeout):
            completed = await link.call(orjson.dumps(request))
    except TimeoutError:
        # The host may be frozen behind a connection that still looks well: others need not wait for it too.
        if links.get((lane, endpoint)) is link:
            del links[lane, endpoint]
        link.retire()
        raise Unreachable(f"{_name(endpoint)} did not answer in {timeout:g} s.") from None
    return _answer(endpoint, request, completed)


def _answer(endpoint: Endpoint, request: Mapping[str, object], completed: Completed) -> dict[str, Any]:
    try:
        answer = orjson.loads(completed.stdout)
        if answer["ok"] is True:
            return dict(answer)
        words = _repeatable(str(answer["error"]), request)
        error = AgentError(str(answer["code"]), words, permanent=not answer["retry"])
    except (ValueError, KeyError, TypeError):
        words = _repeatable(completed.stderr.decode(errors="replace").strip(), request)[-200:] or "no error output"
        status = completed.exit_status
        message = f"{_name(endpoint)} did not answer as an agent does (exit status {status}: {words})."
        raise Garbage(message) from None
    raise error


def _repeatable(words: str, request: Mapping[str, object]) -> str:
    """What a node says may be what it was told: a shell in the agent's place repeats what it does not understand. Its
    words go to logs and rows, which are no place for a password."""
    secrets = [secret for name, secret in request.items() if "password" in name and isinstance(secret, str) and secret]
    for secret in sorted(secrets, key=len, reverse=True):
        words = words.replace(secret, "[a password]")
    return words


async def _call_many(
    requests: Sequence[tuple[Endpoint, Mapping[str, object]]], timeout: float
) -> list[dict[str, Any] | TransportError | AgentError]:
    at_once = asyncio.Semaphore(CALLS_AT_ONCE)

    async def one(endpoint: Endpoint, request: Mapping[str, object]) -> dict[str, Any] | TransportError | AgentError:
        async with at_once:
            try:
                return await _call("many", endpoint, request, timeout)
            except (TransportError, AgentError) as error:
                return error

    return await asyncio.gather(*(one(endpoint, request) for endpoint, request in requests))


async def _run(endpoint: Endpoint, command: str, stdin: bytes, private_key: str | None, timeout: float) -> Completed:
    options: dict[str, Any] = {} if private_key is None else {"client_keys": [private_key], "agent_path": None}
    try:
        async with asyncio.timeout(timeout):
            connection = await _connect(endpoint, **options)
            try:
                return await _execute(connection, command, stdin)
            finally:
                connection.abort()
    except TimeoutError:
        raise Unreachable(f"{_name(endpoint)} did not finish a command in {timeout:g} s.") from None
    except BROKEN as error:
        raise _unreachable(endpoint, error) from error


async def _scan(host: str, port: int) -> str:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            key = await asyncssh.get_server_host_key(host, port, config=None)
    except TimeoutError:
        raise Unreachable(f"{host}:{port} did not show a host key in {CONNECT_TIMEOUT:g} s.") from None
    except BROKEN as error:
        raise Unreachable(f"{host}:{port} cannot be reached: {error}.") from error
    if key is None:
        raise Unreachable(f"{host}:{port} showed no host key.")
    return ssh_keys.line(key)


async def _close(but: Container[Endpoint]) -> None:
    links = _loop().links
    for key in [key for key in links if key[1] not in but]:
        links.pop(key).retire()


# --- Words ------------------------------------------------------------------------------------------------------


def _own_key() -> asyncssh.SSHKey:
    return ssh_keys.read(settings.BASEKV_SSH_KEY, "BASEKV_SSH_KEY")


def _pinned(endpoint: Endpoint) -> asyncssh.SSHKey:
    try:
        return ssh_keys.parse(endpoint.host_key)
    except asyncssh.KeyImportError as error:
        raise HostKeyMismatch(f"The host key pinned for {_name(endpoint)} is no public key.", "") from error


def _name(endpoint: Endpoint) -> str:
    return f"{endpoint.host}:{endpoint.port}"


def _unreachable(endpoint: Endpoint, error: Exception) -> Unreachable:
    return Unreachable(f"{_name(endpoint)} cannot be reached: {error}.")


def _mismatch(endpoint: Endpoint, seen: asyncssh.SSHKey | None) -> HostKeyMismatch:
    line = ssh_keys.line(seen) if seen else ""
    shown = fingerprint(line) if seen else "an unreadable host key"
    message = (
        f"{_name(endpoint)} shows the host key {shown}, pinned is {fingerprint(endpoint.host_key)}. Either "
        "the node was set up anew, or somebody else answers in its place. Compare the keys before you pin the new one."
    )
    return HostKeyMismatch(message, line)
