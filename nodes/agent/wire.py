"""A connection to an engine, from which lines are read."""

import socket

CONNECT_TIMEOUT = 0.2
LONGEST_LINE = 4096


class Connection:
    """Every method raises OSError when the engine is not there, slow, or ends the connection."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), CONNECT_TIMEOUT)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def line(self, timeout: float) -> str:
        """The next line, without its end."""
        self._socket.settimeout(max(timeout, 0.001))
        line = self._file.readline(LONGEST_LINE)
        if not line.endswith(b"\r\n"):
            raise OSError("the connection was closed")
        return line[:-2].decode(errors="replace")

    def read(self, size: int) -> str:
        """So many bytes, after the line that announced them."""
        return self._file.read(size).decode(errors="replace")


def local(bind: str) -> str:
    """The address on which the agent itself reaches what is bound to `bind`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}.get(bind, bind)  # noqa: S104
