"""TCP ports on loopback."""

import asyncio
import errno
import os
import secrets
import socket

from devstack.errors import StackError

HOST = "127.0.0.1"
DEFAULT_WEB_PORT = 8000
# Below those that the kernel gives to connections going out, and below the local nodes'.
QUIET = range(10_000, 20_000)


def web_port() -> int:
    """The port that the person chose, if it can be had. Raises StackError."""
    text = os.environ.get("PORT") or str(DEFAULT_WEB_PORT)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise StackError(f"PORT={text} is not a port number: take one from 1 to 65535.")
    try:
        _bind(int(text))
    except PermissionError:
        raise StackError(f"Port {text} is for root only; choose another: PORT=8001 make run") from None
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise StackError(f"Port {text} is in use; choose another: PORT={_neighbour(int(text))} make run") from None
    return int(text)


def is_free(port: int) -> bool:
    try:
        _bind(port)
    except OSError:
        return False
    return True


def free() -> int:
    """A port that is likely to be free at the next start too."""
    while not is_free(port := secrets.choice(QUIET)):
        pass
    return port


def hold(port: int) -> socket.socket | None:
    """A socket that keeps the port from everybody else for as long as it is open; None if somebody has it."""
    guard = socket.socket()
    try:
        guard.bind((HOST, port))
    except OSError:
        guard.close()
        return None
    return guard


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True


def _bind(port: int) -> None:
    with socket.socket() as probe:
        # Without this a port is refused for the minute after its last connection was closed.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))


def _neighbour(port: int) -> int:
    return next((other for other in range(port + 1, 65536) if is_free(other)), free())
