"""Memcached and HTTP as a customer's own program would speak them: the standard library and nothing else."""

import socket
from base64 import b64encode
from http.client import HTTPConnection
from types import TracebackType

TIMEOUT = 10.0


class Memcached:
    """One connection. Signs in unless `password` is None."""

    def __init__(self, port: int, password: str | None, user: str = "default", *, host: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection((host, port), TIMEOUT)
        self._file = self._socket.makefile("rb")
        if password is not None:
            self.greeting = self.set("auth", f"{user} {password}".encode())

    def __enter__(self) -> "Memcached":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._socket.close()

    def say(self, command: str) -> str:
        self._socket.sendall(command.encode() + b"\r\n")
        return self.line()

    def set(self, key: str, value: bytes) -> str:
        self._socket.sendall(b"set %s 0 0 %d\r\n%s\r\n" % (key.encode(), len(value), value))
        return self.line()

    def get(self, key: str) -> bytes | None:
        found = self.say(f"get {key}")
        if found == "END":
            return None
        value = self._file.read(int(found.split()[3]) + 2)[:-2]
        assert self.line() == "END"
        return value

    def stats(self) -> dict[str, str]:
        stats, line = {}, self.say("stats")
        while line != "END":
            _, name, value = line.split(" ", 2)
            stats[name] = value
            line = self.line()
        return stats

    def line(self) -> str:
        return self._file.readline().decode().rstrip("\r\n")


def http(
    port: int,
    path: str,
    password: str | None,
    user: str = "default",
    body: bytes | None = None,
    method: str = "GET",
    *,
    host: str = "127.0.0.1",
) -> tuple[int, str]:
    """Status and body. Not urllib, which says `Connection: close`: webdis 0.1.9 forgets such a request when its body
    comes in a packet of its own."""
    headers = (
        {} if password is None else {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}
    )
    connection = HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
