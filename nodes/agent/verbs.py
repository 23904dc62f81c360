"""What the agent can be asked to do. Every verb is idempotent: the control plane repeats what it doubts."""

import os
import time

from . import engines, supervisors, wanted
from .deadline import Deadline
from .digests import hexdigest
from .engines import Loading, Unproven
from .errors import Refusal
from .parts import REDIS, Part, parts
from .resp import ReplyError, Session
from .store import Home, Instance, Record
from .supervisors import TICK, Running

Request = dict[str, object]
Answer = dict[str, object]

PROBE_PATIENCE = 1.5
# How long a live engine may be silent before `apply` restarts it.
SILENCE_PATIENCE = 1.0
MAX_LOG_LINES = 1000
FAILURE_LOG_LINES = 10


def apply(home: Home, request: Request, deadline: Deadline) -> Answer:
    """Makes the instance what the request says, and proves it."""
    began = time.monotonic()
    want = wanted.Wanted(request)
    with home.instance(want.instance).locked(deadline) as instance:
        refuse_superseded(instance, want.generation)
        version, changed = Application(home, instance, want, deadline).run()
    return {
        "state": "running",
        "generation": want.generation,
        "engine": version,
        "changed": changed,
        "milliseconds": round((time.monotonic() - began) * 1000),
    }


class Application:
    """One `apply` to one instance, under its lock."""

    def __init__(self, home: Home, instance: Instance, want: wanted.Wanted, deadline: Deadline) -> None:
        self._home = home
        self._instance = instance
        self._want = want
        self._deadline = deadline
        self._engine = engines.choose(home, instance, want.protocol)
        self._supervisor = supervisors.supervisor_of(home)
        self._config = self._engine.config(want)
        self._mark = hexdigest(self._config.encode())

    def run(self) -> tuple[str, bool]:
        """The engine's version, and whether it had to be (re)started."""
        running = self._supervisor.running(self._engine.part)
        if running is not None and running.mark == self._mark:
            try:
                return self._wait(running, self._deadline.within(SILENCE_PATIENCE)), False
            except Unproven:
                pass  # it hangs, or has ended by now
        return self._restart(), True

    def _restart(self) -> str:
        self._supervisor.stop(self._engine.part, self._deadline)
        self._instance.write_record(Record(self._want.generation, "active", self._want.protocol, self._want.ports))
        self._engine.part.write_config(self._config)
        self._engine.part.rotate_log()
        supervisors.require_free(self._home.bind, self._want.redis_port)
        log_start = self._engine.part.log_size()
        memory_mb = self._engine.memory_mb(self._want)
        running = self._supervisor.start(self._engine.part, self._engine.command(), self._mark, memory_mb)
        try:
            return self._wait(running, self._deadline)
        except Unproven as reason:
            if self._supervisor.running(self._engine.part) is None:
                self._supervisor.stop(self._engine.part, self._deadline)  # or systemd tries it again
                raise failed(self._home, self._instance, self._want, log_start) from None
            message = f"The engine runs and is not ready: {reason}."
            raise Refusal("engine_not_ready", message, retry=True) from None

    def _wait(self, running: Running, patience: Deadline) -> str:
        """The version, once proven. Raises Unproven when the engine has ended, or `patience` is over."""
        while True:
            try:
                return self._engine.prove(running, self._want)
            except Loading:
                if self._deadline.passed():
                    message = "The engine is still reading its data from disk."
                    raise Refusal("loading", message, retry=True) from None
            except Unproven:
                if patience.passed() or self._supervisor.running(self._engine.part) is None:
                    raise
            time.sleep(TICK)


def failed(home: Home, instance: Instance, want: wanted.Wanted, log_start: int) -> Refusal:
    tail = "\n".join(Part(instance, REDIS).log_tail(FAILURE_LOG_LINES, log_start))
    if "Address already in use" in tail:
        return Refusal("port_taken", f"Another process listens on port {want.redis_port}.", retry=True)
    # The engine quotes a line of its configuration that it does not like.
    for secret in (want.password, want.previous_password, home.secret(instance)):
        if secret:
            tail = tail.replace(hexdigest(secret.encode()), "***").replace(secret, "***")
    return Refusal("engine_failed", f"The engine ended at its start. Its last words:\n{tail}", retry=True)


def remove(home: Home, request: Request, deadline: Deadline) -> Answer:
    """Stops the instance and erases its data; a tombstone keeps a late `apply` from bringing it back."""
    id = wanted.instance_id(request)
    generation = wanted.integer(request, "generation", 1, wanted.MAX_GENERATION)
    with home.instance(id).locked(deadline) as instance:
        record = record_of(instance)
        if record is None or record.state != "removed":
            refuse_superseded(instance, generation)
        elif record.generation > generation:
            generation = record.generation
        supervisor = supervisors.supervisor_of(home)
        for part in parts(instance):
            supervisor.stop(part, deadline)
        instance.write_record(Record(generation, "removed", "", {}))
        supervisor.erase(instance)
        instance.erase()
    return {"state": "removed", "generation": generation}


def quarantine(home: Home, request: Request, deadline: Deadline) -> Answer:
    """Stops the instance and keeps its data, for a person to look at."""
    with known(home, request).locked(deadline) as instance:
        record = record_of(instance) or Record(0, "active", "", {})
        if record.state == "removed":
            raise unknown(instance)
        for part in parts(instance):
            supervisors.supervisor_of(home).stop(part, deadline)
        record.state = "quarantined"
        instance.write_record(record)
    return {"state": record.state, "generation": record.generation}


def boot(home: Home, _request: Request, _deadline: Deadline) -> Answer:
    """What the machine itself asks for when it has started."""
    wanted_here = []
    for instance in home.instances():
        record = record_of(instance)
        if record is not None and record.state == "active":
            wanted_here.append(instance)
    return {"started": supervisors.supervisor_of(home).boot(wanted_here)}


def logs(home: Home, request: Request, _deadline: Deadline) -> Answer:
    """The last lines of the engine's log."""
    lines = wanted.integer(request, "lines", 1, MAX_LOG_LINES)
    return {"lines": Part(known(home, request), REDIS).log_tail(lines)}


def probe(home: Home, _request: Request, deadline: Deadline) -> Answer:
    """How the node is and what it has."""
    total, available = memory_kb()
    disk = os.statvfs(home.directory)
    return {
        "agent": digest(home.packed_file),
        "time": time.time(),
        "load": os.getloadavg(),
        "cpus": os.cpu_count(),
        "memory": {"total_mb": total // 1024, "available_mb": available // 1024},
        "disk": {
            "total_mb": disk.f_blocks * disk.f_frsize // 2**20,
            "free_mb": disk.f_bavail * disk.f_frsize // 2**20,
        },
        "engines": engines.versions(home),
        "instances": probe_instances(home, deadline.within(PROBE_PATIENCE)),
    }


def probe_instances(home: Home, deadline: Deadline) -> list[Answer]:
    """Asks all engines first and only then reads replies, so that a silent one costs the others nothing."""
    asked = [Inquiry(home, instance, deadline) for instance in home.instances()]
    return [inquiry.answer(deadline) for inquiry in asked if inquiry.is_of_interest]


class Inquiry:
    """One instance during a probe."""

    def __init__(self, home: Home, instance: Instance, deadline: Deadline) -> None:
        self._instance = instance
        self._session: Session | None = None
        self._running: Running | None = None
        self._reason = ""
        try:
            self._record = instance.record()
        except ValueError as error:
            self._record, self._reason = None, str(error)
        self.is_of_interest = self._reason != "" or (self._record is not None and self._record.state != "removed")
        if self._record is None:
            return
        if self._record.state == "removed":
            bury(instance, self._record, deadline)
        else:
            self._ask(home, self._record, deadline)

    def _ask(self, home: Home, record: Record, deadline: Deadline) -> None:
        self._running = supervisors.supervisor_of(home).running(Part(self._instance, REDIS))
        port = record.ports.get("redis")
        if self._running is None or port is None or deadline.passed():
            return
        try:
            self._session = Session(engines.local(home.bind), port)
            engines.ask_identity(self._session, home.secret(self._instance))
        except OSError:
            self._session = None

    def answer(self, deadline: Deadline) -> Answer:
        Part(self._instance, REDIS).rotate_log()
        about = self._about(deadline)
        record = self._record
        return {
            "id": self._instance.id,
            "generation": record.generation if record else 0,
            "state": self._state(bool(about)),
            "protocol": record.protocol if record else None,
            "ports": record.ports if record else {},
            "memory_bytes": int(about["used_memory"]) if about else None,
            "keys": engines.keys(about) if about else None,
            "reason": self._reason or None,
        }

    def _about(self, deadline: Deadline) -> dict[str, str]:
        """What the engine says about itself; empty, with a reason, where it does not."""
        if self._running is None:
            return {}
        if self._session is None:
            self._reason = "no answer"
            return {}
        with self._session:
            try:
                return engines.identity(self._session, self._running, deadline)
            except Loading:
                self._reason = "loading"
            except (ReplyError, Unproven) as error:
                self._reason = str(error)
            except OSError:
                self._reason = "no answer"
        return {}

    def _state(self, answered: bool) -> str:
        if self._record is None:
            return "broken"
        if self._record.state == "quarantined":
            return "quarantined"
        if self._running is None:
            return "stopped"
        return "running" if answered else "broken"


def bury(instance: Instance, record: Record, deadline: Deadline) -> None:
    """Forgets an expired tombstone."""
    if not record.expired():
        return
    with instance.locked(deadline):
        record_now = instance.record()
        if record_now is not None and record_now.expired():
            instance.forget()


def known(home: Home, request: Request) -> Instance:
    instance = home.instance(wanted.instance_id(request))
    if not instance.exists():
        raise unknown(instance)
    return instance


def unknown(instance: Instance) -> Refusal:
    return Refusal("unknown_instance", f"This node has no instance {instance.id}.", retry=False)


def record_of(instance: Instance) -> Record | None:
    """A damaged record is as good as none: the request says anew what is wanted."""
    try:
        return instance.record()
    except ValueError:
        return None


def refuse_superseded(instance: Instance, generation: int) -> None:
    record = record_of(instance)
    if record is None:
        return
    # The generation that was removed is not brought back by its own late `apply` either.
    oldest = record.generation + 1 if record.state == "removed" else record.generation
    if generation < oldest:
        message = f"Generation {generation} is superseded by {record.generation}."
        raise Refusal("superseded", message, retry=False)


def memory_kb() -> tuple[int, int]:
    """Total and available."""
    with open("/proc/meminfo") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["MemTotal"].split()[0]), int(fields["MemAvailable"].split()[0])


def digest(path: str) -> str:
    with open(path, "rb") as file:
        return hexdigest(file.read())


VERBS = {"probe": probe, "apply": apply, "remove": remove, "quarantine": quarantine, "logs": logs, "boot": boot}
