"""Engines as systemd units: `basekv-<part>@<instance>.service`, whose templates the enrolment has installed.

The agent is no more than a user that may start, stop and limit these units. The engine runs as a user of its own,
which sees the part's directory and can write to its log and its keys alone. `start` says what it is told and bears its
mark: it is only ever written while the engine is stopped, so an engine that lives was started from it.
"""

import os
import time

from .deadline import Deadline
from .digests import hexdigest
from .errors import Refusal
from .parts import Part, parts
from .store import Instance, write_atomically
from .supervisors import Running, Supervisor

SYSTEMCTL = "/bin/systemctl"
ENGINE_GROUP = "basekv-engine"
# The hierarchy in which systemd tracks its units: version 2, or what comes beside version 1.
CGROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")
SLICE = "basekv.slice"

# The limit on data makes an allocation fail; MemoryMax, which also counts children and files, ends the engine.
START = """\
cd {data}
ulimit -d {kilobytes}
exec {command} >>{log} 2>&1 </dev/null
"""


class Systemd(Supervisor):
    def running(self, part: Part) -> "Running | None":
        pid = main_pid(unit(part))
        if pid is None:
            return None
        return Running(pid, mark_of(f"{part.directory}/start"))

    def start(self, part: Part, command: "list[str]", mark: str, memory_mb: int) -> Running:
        words = " ".join(quoted(word) for word in command)
        script = START.format(data=quoted(part.data), kilobytes=memory_mb * 1024, command=words, log=quoted(part.log))
        write_atomically(f"{part.directory}/start", f"# {mark} {hexdigest(script.encode())}\n{script}")
        open_to_engine(part)
        name = unit(part)
        manage("set-property", name, f"MemoryMax={memory_mb}M")
        start(name)
        return Running(main_pid(name) or 0, mark)

    def stop(self, part: Part, deadline: Deadline) -> None:
        name = unit(part)
        if main_pid(name) is None and not os.path.exists(f"{part.directory}/start"):
            return  # it was never started
        manage("stop", name)
        if main_pid(name) is not None:
            raise Refusal("engine_stuck", f"The unit {name} cannot be stopped.", retry=True)

    def erase(self, instance: Instance) -> None:
        manage("start", f"basekv-erase@{instance.id}.service")

    def boot(self, instances: "list[Instance]") -> "list[str]":
        names = [
            unit(part)
            for instance in instances
            for part in parts(instance)
            if os.path.exists(f"{part.directory}/start")
        ]
        if names:
            await_next_second()
            manage("start", "--no-block", *names)
        return names


def mark_of(path: str) -> str:
    """Empty where the script is not the one that was written with the mark."""
    try:
        with open(path) as file:
            first, script = file.readline(), file.read()
    except (OSError, ValueError):
        return ""
    mark, _, digest = first[2:].strip().partition(" ")
    # Agents before release 1 wrote no digest.
    return mark if digest in ("", hexdigest(script.encode())) else ""


def await_next_second() -> None:
    """A memcached that starts within the second in which it stopped throws its keys away, and some machines boot in
    less than that."""
    time.sleep(1 - time.time() % 1)


def unit(part: Part) -> str:
    return f"basekv-{part.name}@{part.instance_id}.service"


def start(name: str) -> None:
    """Also one that has failed so often that systemd has given it up."""
    try:
        manage("start", name)
    except Refusal:
        manage("reset-failed", name)
        manage("start", name)


def main_pid(name: str) -> "int | None":
    """Of a unit's processes the one that systemd has started. Asking systemd would take longer than all the rest."""
    for mount in CGROUPS:
        try:
            with open(f"{mount}/{SLICE}/{name}/cgroup.procs") as file:
                pids = file.read().split()
        except OSError:
            continue
        for pid in pids:
            if parent(pid) == 1:
                return int(pid)
    return None


def parent(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def open_to_engine(part: Part) -> None:
    """The engine's user may read its configuration and write to its log, through a group that engines have.

    So with memcached's memory, which the agent prepares. Redis's keys are elsewhere: over its `data` systemd mounts a
    directory that is not the agent's.
    """
    import grp

    group = grp.getgrnam(ENGINE_GROUP).gr_gid
    os.close(os.open(part.log, os.O_WRONLY | os.O_CREAT, 0o600))
    modes = {part.directory: 0o750, part.config: 0o640, f"{part.directory}/start": 0o640, part.log: 0o660}
    modes[part.data] = 0o770
    ours = os.geteuid()
    modes.update({entry.path: 0o660 for entry in os.scandir(part.data) if entry.stat().st_uid == ours})
    for path, mode in modes.items():
        os.chown(path, -1, group)
        os.chmod(path, mode)


def manage(*words: str) -> None:
    """Raises Refusal `supervisor_failed` with what systemctl said."""
    # Not subprocess: importing that takes as long as systemctl itself.
    reading, writing = os.pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, writing, 1),
        (os.POSIX_SPAWN_DUP2, writing, 2),
    ]
    command = [SYSTEMCTL, "--no-ask-password", "--quiet", *words]
    pid = os.posix_spawn(SYSTEMCTL, command, {"LANG": "C"}, file_actions=actions)
    os.close(writing)
    with open(reading, errors="replace") as output:
        said = output.read().strip()
    if os.waitpid(pid, 0)[1] != 0:
        raise Refusal("supervisor_failed", f"systemctl {words[0]} failed: {said[-500:]}", retry=True)


def quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"
