"""A TCP connection to something real, and what can happen to one."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self

from devstack import ports

CHUNK = 64 * 1024
SLOWNESS = 0.3  # seconds for each piece
NOISE = bytes(byte ^ 0x55 for byte in range(256))


class Cable:
    """While it is open, what comes in at `port` goes to `target`, and the answers back. `held`: bytes, while frozen."""

    def __init__(self, target: int) -> None:
        self.port = ports.free()
        self._target = target
        self.held = 0
        self._state = "whole"
        self._flows = asyncio.Event()
        self._carrying: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cable", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Every connection ends, and new ones are refused."""
        self._do(self._unplug())
        self.drop()

    def drop(self) -> None:
        """Every connection ends, and new ones are welcome."""
        self._do(self._end_all())

    def spoil(self, state: str) -> None:
        """`frozen`: connections stay and can be made, but nothing comes through. `slow`, `garbled`: it does, so."""
        self._do(self._become(state))

    def mend(self) -> None:
        self._do(self._become("whole"))
        self._do(self._plug_in())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _become(self, state: str) -> None:
        self._state = state
        if state == "frozen":
            self._flows.clear()
        else:
            self._flows.set()

    async def _plug_in(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._carry, ports.HOST, self.port)

    async def _unplug(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _end_all(self) -> None:
        ending = list(self._carrying)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        ends = [writer]
        try:
            there, back = await asyncio.open_connection(ports.HOST, self._target)
            ends.append(back)
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._carrying.discard(task)
            for end in ends:
                end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK):
            self.held += len(data)
            await self._flows.wait()
            self.held -= len(data)
            if self._state == "slow":
                await asyncio.sleep(SLOWNESS)
            target.write(data.translate(NOISE) if self._state == "garbled" else data)
            await target.drain()
        with suppress(OSError):
            if target.can_write_eof():
                target.write_eof()
