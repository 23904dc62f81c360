"""The state directory: what one start leaves for the next."""

import os
import secrets
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from devstack import locks, ports
from devstack.errors import StackError

PATIENCE = 30.0  # seconds
REPOSITORY = Path(__file__).resolve().parent.parent


class State:
    """`.devstack/` in the clone, or the directory that BASEKV_STATE names. For the user's eyes only."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.env_file = self.root / "env"
        self.ssh_key = self.root / "ssh_key"
        self.members = self.root / "members"  # every service has it open

    @classmethod
    def chosen(cls) -> "State":
        return cls(Path(os.environ.get("BASEKV_STATE") or REPOSITORY / ".devstack"))

    def log(self, name: str) -> Path:
        return self.root / "log" / f"{name}.log"

    def folder(self, *names: str) -> Path:
        path = self.root.joinpath(*names)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def claim(self) -> None:
        """From here on this process runs the stack of this directory, until it ends. Raises StackError."""
        self.folder().chmod(0o700)
        deadline = time.monotonic() + PATIENCE
        while locks.take(self.root / "run.lock") is None:
            # Without `env` the other one is starting, or about to be gone.
            if self.env_file.exists() or time.monotonic() > deadline:
                raise StackError(f"It is running already; {self.shown(self.env_file)} says where.")
            time.sleep(0.05)
        self.env_file.unlink(missing_ok=True)
        self.folder("log")

    def is_running(self) -> bool:
        if not self.root.is_dir():
            return False
        descriptor = locks.take(self.root / "run.lock")
        if descriptor is not None:
            os.close(descriptor)
        return descriptor is None

    def kept(self, name: str, make: Callable[[], str]) -> str:
        """The text that is kept under this name; made at the first start."""
        path = self.root / name
        if not path.exists():
            self.keep(name, make())
        return path.read_text()

    def keep(self, name: str, text: str) -> None:
        """Whole or not at all, and from its first moment for its owner only."""
        path = self.root / name
        self.folder(*path.relative_to(self.root).parent.parts)
        unfinished = path.with_name(path.name + ".new")
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        unfinished.write_text(text)
        unfinished.replace(path)

    def secret(self, name: str) -> str:
        return self.kept(f"secrets/{name}", lambda: secrets.token_urlsafe(24))

    def token(self) -> str | None:
        """The demo account's, when it has one."""
        path = self.secret_file("token")
        return path.read_text() if path.exists() else None

    def secret_file(self, name: str) -> Path:
        return self.root / "secrets" / name

    def port(self, name: str) -> int:
        """The same port at every start, for as long as nobody else takes it."""
        port = int(self.kept(f"ports/{name}", lambda: str(ports.free())))
        if not ports.is_free(port):
            port = ports.free()
            self.keep(f"ports/{name}", str(port))
        return port

    def publish(self, values: Mapping[str, str]) -> None:
        """`env`, which a shell can source: its being there says that the stack is ready."""
        self.keep("env", "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()))

    def published(self) -> dict[str, str]:
        pairs = (line.partition("=") for line in shlex.split(self.env_file.read_text()))
        return {name: value for name, _, value in pairs}

    def shown(self, path: Path) -> str:
        """A path as the person would type it."""
        return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
