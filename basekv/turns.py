"""Whose request is next: callers take turns, so that nobody waits behind the thousand requests of somebody else.

A web server hands requests over in the order in which they came. It is given a thread for each of them, which only
waits; the work is done by a few threads of our own, each with its connection to PostgreSQL (ADR 8).
"""

import threading
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

THREADS = 3
# One less: a caller whose requests take long leaves a thread for the others. More at once are slower, measured.
PER_CALLER = 2


class Waiting:
    """A request, and its answer when there is one."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self.environ = environ
        # Who shows the same token or session. All who show none are one.
        self.caller = hash(environ.get("HTTP_AUTHORIZATION") or environ.get("HTTP_COOKIE"))
        self.head: tuple[Any, ...] = ()
        self.body = b""
        self.error: BaseException | None = None
        # A bare lock: a future, with its condition, costs a tenth of what a busy server answers.
        self.unanswered = threading.Lock()
        self.unanswered.acquire()

    def hear(self, *head: Any) -> Any:
        """WSGI's start_response."""
        self.head = head


class Turns:
    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        # In the order of their turns; who has just had one is last.
        self._callers: dict[int, deque[Waiting]] = {}
        self._served: Counter[int] = Counter()
        self._arrived = threading.Condition()
        self._threads: list[threading.Thread] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        waiting = Waiting(environ)
        self._line_up(waiting)
        waiting.unanswered.acquire()
        if waiting.error:
            raise waiting.error
        start_response(*waiting.head)
        return [waiting.body]

    def _line_up(self, waiting: Waiting) -> None:
        with self._arrived:
            self._start_threads()
            self._callers.setdefault(waiting.caller, deque()).append(waiting)
            # Otherwise it is for whoever is done with this caller's last one.
            if self._served[waiting.caller] < PER_CALLER:
                self._arrived.notify()

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
                self._answer(waiting)
            except BaseException as error:  # it belongs to whoever waits
                waiting.error = error
            finally:
                waiting.unanswered.release()
                self._done(waiting.caller)

    def _next(self) -> Waiting:
        with self._arrived:
            while (caller := self._whose_turn()) is None:
                self._arrived.wait()
            theirs = self._callers.pop(caller)
            waiting = theirs.popleft()
            if theirs:
                self._callers[caller] = theirs
            self._served[caller] += 1
            return waiting

    def _whose_turn(self) -> int | None:
        return next((caller for caller in self._callers if self._served[caller] < PER_CALLER), None)

    def _answer(self, waiting: Waiting) -> None:
        response = self._application(waiting.environ, waiting.hear)
        try:
            waiting.body = b"".join(response)
        finally:
            if hasattr(response, "close"):
                response.close()

    def _done(self, caller: int) -> None:
        with self._arrived:
            self._served[caller] -= 1
            if not self._served[caller]:
                del self._served[caller]
