"""What the agent can be asked to do. Every verb is idempotent: the control plane repeats what it doubts."""

import os
import time

from . import engines, supervisors, wanted
from .application import Application
from .deadline import Deadline
from .digests import hexdigest
from .errors import Refusal
from .inquiry import inquire
from .parts import parts
from .release import RELEASE
from .store import Home, Instance, Record

Request = dict[str, object]
Answer = dict[str, object]

PROBE_PATIENCE = 1.5
MAX_LOG_LINES = 1000


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
        stop(home, instance, deadline)
        instance.write_record(Record(generation, "removed", "", {}))
        supervisors.supervisor_of(home).erase(instance)
        instance.erase()
    return {"state": "removed", "generation": generation}


def quarantine(home: Home, request: Request, deadline: Deadline) -> Answer:
    """Stops the instance and keeps its data, for a person to look at."""
    with known(home, request).locked(deadline) as instance:
        record = record_of(instance) or Record(0, "active", "", {})
        if record.state == "removed":
            raise unknown(instance)
        stop(home, instance, deadline)
        record.state = "quarantined"
        instance.write_record(record)
    return {"state": record.state, "generation": record.generation}


def stop(home: Home, instance: Instance, deadline: Deadline) -> None:
    supervisor = supervisors.supervisor_of(home)
    for part in reversed(parts(instance)):
        supervisor.stop(part, deadline)


def boot(home: Home, _request: Request, _deadline: Deadline) -> Answer:
    """What the machine itself asks for when it has started."""
    wanted_here = []
    for instance in home.instances():
        record = record_of(instance)
        if record is not None and record.state == "active":
            wanted_here.append(instance)
    return {"started": supervisors.supervisor_of(home).boot(wanted_here)}


def upgrade(home: Home, request: Request, _deadline: Deadline) -> Answer:
    """Replaces this agent from the next request on."""
    from .upgrade import upgrade as replace

    replace(home, request.get("agent"), request.get("sha256"))
    return {"agent": digest(home.packed_file)}


def authorize(home: Home, request: Request, _deadline: Deadline) -> Answer:
    """From now on these keys may start this agent, and no others."""
    from . import access

    keys = access.keys_of(request)
    access.write(home, keys)
    return {"keys": keys}


def logs(home: Home, request: Request, _deadline: Deadline) -> Answer:
    """The last lines of each part's log, with the part's name before them: not every engine notes the time."""
    lines = wanted.integer(request, "lines", 1, MAX_LOG_LINES)
    instance = known(home, request)
    return {"lines": [f"{part.name}: {line}" for part in parts(instance) for line in part.log_tail(lines)]}


def probe(home: Home, _request: Request, deadline: Deadline) -> Answer:
    """How the node is and what it has."""
    total, available = memory_kb()
    disk = os.statvfs(home.directory)
    return {
        "agent": digest(home.packed_file),
        "release": RELEASE,
        "time": time.time(),
        "load": os.getloadavg(),
        "cpus": os.cpu_count(),
        "memory": {"total_mb": total // 1024, "available_mb": available // 1024},
        "disk": {
            "total_mb": disk.f_blocks * disk.f_frsize // 2**20,
            "free_mb": disk.f_bavail * disk.f_frsize // 2**20,
        },
        "engines": engines.versions(home),
        "instances": inquire(home, deadline.within(PROBE_PATIENCE)),
    }


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


VERBS = {
    "probe": probe,
    "apply": apply,
    "remove": remove,
    "quarantine": quarantine,
    "logs": logs,
    "boot": boot,
    "upgrade": upgrade,
    "authorize": authorize,
}
