"""A TCP connection to a real service that can be cut, or go silent."""

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Self

from devstack import ports


class Cable:
    """Listens on a port of its own while it is open; what comes in goes to `port`, and the answers back."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._socket = socket.create_server((ports.HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cable")
        self._writers: set[asyncio.StreamWriter] = set()
        self._whole = True

    def __enter__(self) -> Self:
        self._thread.start()
        self._flows = asyncio.Event()
        self._flows.set()
        asyncio.run_coroutine_threadsafe(asyncio.start_server(self._carry, sock=self._socket), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._do(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._socket.close()

    def cut(self) -> None:
        """Every connection ends, and new ones end at once, as if nobody listened."""

        def cut() -> None:
            self._whole = False
            self._flows.set()
            for writer in self._writers:
                writer.transport.abort()

        self._do(cut)

    def mend(self) -> None:
        self._whole = True

    def freeze(self) -> None:
        """Connections stay and can be made, but nothing comes through."""
        self._do(self._flows.clear)

    def thaw(self) -> None:
        self._do(self._flows.set)

    def _do(self, action: Callable[[], None]) -> None:
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (action(), done.set()))
        if action != self._loop.stop:
            done.wait()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(ports.HOST, self._target)
        ends = {writer, back}
        self._writers |= ends
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer), return_exceptions=True)
        self._writers -= ends

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(64 * 1024):
                await self._flows.wait()
                target.write(data)
                await target.drain()
        finally:
            target.transport.abort()
