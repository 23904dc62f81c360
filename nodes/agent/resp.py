"""Just enough of the Redis protocol to ask an engine who it is and whom it lets in."""

import socket

CONNECT_TIMEOUT = 0.2


class ReplyError(Exception):
    """The engine answered with an error; the text begins with its code, such as NOAUTH."""


class Session:
    """One connection. Every method raises OSError when the engine is not there, slow, or speaks otherwise."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), CONNECT_TIMEOUT)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, *commands: tuple[str, ...]) -> None:
        """Sends without waiting; each command is then owed one `receive`."""
        out = bytearray()
        for words in commands:
            out += b"*%d\r\n" % len(words)
            for word in words:
                encoded = word.encode()
                out += b"$%d\r\n%s\r\n" % (len(encoded), encoded)
        self._socket.sendall(out)

    def receive(self, timeout: float) -> str:
        """The next reply. Raises ReplyError when it is an error."""
        self._socket.settimeout(max(timeout, 0.001))
        kind, text = self._line()
        if kind == b"-":
            raise ReplyError(text)
        if kind in (b"+", b":"):
            return text
        if kind == b"$":
            return self._file.read(int(text) + 2)[:-2].decode(errors="replace")
        raise OSError("not a Redis reply")

    def _line(self) -> tuple[bytes, str]:
        line = self._file.readline(4096)
        if not line.endswith(b"\r\n"):
            raise OSError("the connection was closed")
        return line[:1], line[1:-2].decode(errors="replace")
