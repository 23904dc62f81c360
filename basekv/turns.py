"""Whose request is next: callers take turns, so that nobody waits behind the thousand requests of somebody else.

A web server hands requests over in the order in which they came. It is given a thread for each of them, which only
waits; the work is done by a few threads of our own, each with its connection to PostgreSQL (ADR 8).
"""

import threading
from collections import Counter, deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

THREADS = 3
# One less: a caller whose requests take long leaves a thread for the others. More at once are slower, measured.
PER_CALLER = 2


@dataclass(frozen=True, slots=True)
class Answer:
    head: tuple[Any, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    environ: WSGIEnvironment
    answer: "Future[Answer]" = field(default_factory=Future)

    @property
    def caller(self) -> int:
        """Who shows the same token or session. All who show none are one."""
        shown = self.environ.get("HTTP_AUTHORIZATION") or self.environ.get("HTTP_COOKIE")
        return hash(shown)


class Turns:
    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        # In the order of their turns; who has just had one is last.
        self._callers: dict[int, deque[Waiting]] = {}
        self._served: Counter[int] = Counter()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        waiting = Waiting(environ)
        with self._changed:
            self._start_threads()
            self._callers.setdefault(waiting.caller, deque()).append(waiting)
            self._changed.notify()
        answer = waiting.answer.result()
        start_response(*answer.head)
        return [answer.body]

    def _start_threads(self) -> None:
        """With the first request: a process that is forked before has none of its parent's threads."""
        while len(self._threads) < THREADS:
            thread = threading.Thread(target=self._serve, name=f"turns-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self) -> None:
        while True:
            waiting = self._next()
            try:
                waiting.answer.set_result(self._carry_out(waiting.environ))
            except BaseException as error:  # it belongs to whoever waits
                waiting.answer.set_exception(error)
            finally:
                self._done(waiting.caller)

    def _next(self) -> Waiting:
        with self._changed:
            while (caller := self._whose_turn()) is None:
                self._changed.wait()
            theirs = self._callers.pop(caller)
            waiting = theirs.popleft()
            if theirs:
                self._callers[caller] = theirs
            self._served[caller] += 1
            return waiting

    def _whose_turn(self) -> int | None:
        return next((caller for caller in self._callers if self._served[caller] < PER_CALLER), None)

    def _done(self, caller: int) -> None:
        with self._changed:
            self._served[caller] -= 1
            if not self._served[caller]:
                del self._served[caller]
            self._changed.notify()

    def _carry_out(self, environ: WSGIEnvironment) -> Answer:
        head: list[tuple[Any, ...]] = []
        response = self._application(environ, lambda *said: head.append(said))  # type: ignore[arg-type]
        try:
            body = b"".join(response)
        finally:
            if hasattr(response, "close"):
                response.close()
        return Answer(head[-1], body)
