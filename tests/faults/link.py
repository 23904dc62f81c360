"""The wire between the control plane and a node, and what can happen to one."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from devstack import ports

CHUNK = 16 * 1024


class Link:
    """A TCP relay on `port`, whose `state` can be set at any time: whole, frozen, slow, or garbled. See also `cut`."""

    def __init__(self, target: int) -> None:
        self.port = ports.free()
        self.state = "whole"
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self._thread.start()
        self.mend()

    def mend(self) -> None:
        self.state = "whole"
        if self._server is None:
            self._run(self._listen())

    def cut(self) -> None:
        """All connections end, and new ones are refused."""
        self._run(self._stop_listening())
        self.drop()

    def drop(self) -> None:
        """All connections end, and new ones are welcome."""
        self._run(self._drop())

    def close(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._relay, ports.HOST, self.port)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(ports.HOST, self._target)
            both = {writer, far_writer}
            self._writers |= both
            try:
                await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
            finally:
                self._writers -= both
                for each in both:
                    each.transport.abort()
            return
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK):
            while self.state == "frozen":  # noqa: ASYNC110 - whoever sets it is in another thread
                await asyncio.sleep(0.05)
            if self.state == "slow":
                await asyncio.sleep(0.3)
            if self.state == "garbled":
                chunk = bytes(byte ^ 0x55 for byte in chunk)
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
