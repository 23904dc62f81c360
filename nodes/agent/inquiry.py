"""What a probe finds out about instances."""

from . import engines, supervisors
from .deadline import Deadline
from .engine import About, Engine, Loading, Unproven
from .parts import parts
from .store import Home, Instance, Record
from .supervisors import Running

Answer = dict[str, object]
LOADING = "loading"


def inquire(home: Home, deadline: Deadline) -> list[Answer]:
    """Asks all engines first and only then reads replies, so that a silent one costs the others nothing."""
    asked = [Inquiry(home, instance, deadline) for instance in home.instances()]
    return [inquiry.answer(deadline) for inquiry in asked if inquiry.is_of_interest]


class Inquiry:
    """One instance during a probe."""

    def __init__(self, home: Home, instance: Instance, deadline: Deadline) -> None:
        self._instance = instance
        self._questions: list[Question] = []
        self._damage = ""
        try:
            self._record = instance.record()
        except ValueError as error:
            self._record, self._damage = None, str(error)
        self.is_of_interest = self._damage != "" or (self._record is not None and self._record.state != "removed")
        if self._record is None:
            return
        if self._record.state == "removed":
            bury(instance, self._record, deadline)
        elif self._record.state == "active":
            recorded = engines.recorded(home, instance, self._record.ports)
            self._questions = [Question(home, engine, deadline) for engine in recorded]

    def answer(self, deadline: Deadline) -> Answer:
        for part in parts(self._instance):
            part.rotate_log()
        for question in self._questions:
            question.hear(deadline)
        record = self._record
        return {
            "id": self._instance.id,
            "generation": record.generation if record else 0,
            "state": self._state(),
            "protocol": record.protocol if record else None,
            "ports": record.ports if record else {},
            "memory_bytes": total([question.about.memory_bytes for question in self._questions]),
            "keys": total([question.about.keys for question in self._questions]),
            "reason": self._reason() or None,
            "changed": [question.part for question in self._questions if question.was_changed],
        }

    def _state(self) -> str:
        """An instance runs when each of its parts answers."""
        if self._record is None:
            return "broken"
        if self._record.state == "quarantined":
            return "quarantined"
        if not all(question.is_alive for question in self._questions):
            return "stopped"
        return "broken" if self._reason() else "running"

    def _reason(self) -> str:
        """That one part loads is all that is said only where nothing is wrong with the others."""
        reasons = {question.part: question.reason for question in self._questions if question.reason}
        if set(reasons.values()) == {LOADING}:
            return LOADING
        return self._damage or ", ".join(f"{part}: {reason}" for part, reason in reasons.items())


class Question:
    """One engine during a probe."""

    def __init__(self, home: Home, engine: Engine, deadline: Deadline) -> None:
        self.part = engine.part.name
        self.about = About(None, None)
        self.reason = ""
        self._engine = engine
        self._running: Running | None = supervisors.supervisor_of(home).running(engine.part)
        self.is_alive = self._running is not None
        self.was_changed = self._running is not None and engine.was_changed(self._running)
        if self._running is None:
            self.reason = "not running"
        elif deadline.passed():
            self.reason = "no answer"
        else:
            self._ask()

    def _ask(self) -> None:
        try:
            self._engine.ask()
        except OSError:
            self.reason = "no answer"

    def hear(self, deadline: Deadline) -> None:
        if self._running is None or self.reason:
            return
        try:
            self.about = self._engine.hear(self._running, deadline)
        except Loading:
            self.reason = LOADING
        except Unproven as error:
            self.reason = str(error)
        except OSError:
            self.reason = "no answer"
        except (LookupError, ValueError):
            self.reason = "not an answer"


def total(numbers: list[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def bury(instance: Instance, record: Record, deadline: Deadline) -> None:
    """Forgets an expired tombstone."""
    if not record.expired():
        return
    with instance.locked(deadline):
        record_now = instance.record()
        if record_now is not None and record_now.expired():
            instance.forget()
