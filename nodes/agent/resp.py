"""Just enough of the Redis protocol to ask an engine who it is and whom it lets in."""

from .wire import Connection


class ReplyError(Exception):
    """The engine answered with an error; the text begins with its code, such as NOAUTH."""


class Session(Connection):
    """One connection that speaks it. Raises OSError also when the other side speaks something else."""

    def __enter__(self) -> "Session":
        return self

    def send(self, *commands: tuple[str, ...]) -> None:
        """Sends without waiting; each command is then owed one `receive`."""
        out = bytearray()
        for words in commands:
            out += b"*%d\r\n" % len(words)
            for word in words:
                encoded = word.encode()
                out += b"$%d\r\n%s\r\n" % (len(encoded), encoded)
        self.write(bytes(out))

    def receive(self, timeout: float) -> str:
        """The next reply. Raises ReplyError when it is an error."""
        line = self.line(timeout)
        kind, text = line[:1], line[1:]
        if kind == "-":
            raise ReplyError(text)
        if kind in ("+", ":"):
            return text
        if kind == "$":
            return self.read(int(text) + 2)[:-2]
        raise OSError("not a Redis reply")
