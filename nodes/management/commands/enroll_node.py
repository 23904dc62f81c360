import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounts import actors
from nodes.enrolment import Enrolment, Step, Wanted
from nodes.errors import NodeError
from nodes.models import Node
from nodes.states import Supervisor
from nodes.systemd_enrolment import SystemdEnrolment

# Exit status when nothing is wrong that we know of, but the machine did not answer: try again later (sysexits.h).
EX_TEMPFAIL = 75
LARGEST = 2_000_000_000


class Command(BaseCommand):
    help = (
        "Make a machine a node. Every step can be repeated: what failed half-way is simply run again. "
        "Exit status: 0 done, 1 something must be mended first, 75 the machine did not answer."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="a short name of its own, for example eu-west-1")
        parser.add_argument("--host", required=True, help="the name or address that customers connect to")
        parser.add_argument("--region", required=True, metavar="SLUG")
        parser.add_argument("--capacity-mb", type=int, help="memory for databases, MiB; default: 80 % of what it has")
        parser.add_argument("--ssh-host", help="where its SSH is, if not at --host")
        parser.add_argument("--ssh-port", type=int, default=22)
        parser.add_argument("--bootstrap-user", default="root", help="who signs in for the enrolment; default: root")
        parser.add_argument("--bootstrap-key", metavar="PATH", help="its private key; default: the SSH agent's")
        parser.add_argument("--host-key", metavar="FINGERPRINT", help="SHA256:..., instead of being asked")
        parser.add_argument("--supervisor", choices=Supervisor.values, help="default: systemd if root signs in")
        parser.add_argument("--dry-run", action="store_true", help="look at the machine and change nothing")
        parser.add_argument("--bind", default="0.0.0.0", metavar="ADDRESS", help="where its engines listen")  # noqa: S104
        parser.add_argument("--engine", action="append", default=[], metavar="NAME=PATH", help="not on its PATH")
        parser.add_argument("--first-port", type=int, help="of the databases; default 20000")
        parser.add_argument("--slots", type=int, help="how many databases it can have; default 1000")
        parser.add_argument("--default-storage-mb", type=int, help="for plans without a limit; default 64")

    def handle(self, *args: Any, **options: Any) -> None:
        expected = options["host_key"]
        want = wanted(options)
        kind = SystemdEnrolment if want.supervisor == Supervisor.SYSTEMD else Enrolment
        confirm = (lambda shown: shown == expected) if expected else self.ask_whether
        enrolment = kind(want, confirm, by=actors.command())
        for step in enrolment.steps():
            self.stdout.write(f"  {step.title:<12} ", ending="")
            self.stdout.flush()
            if options["dry_run"] and step.changes:
                self.stdout.write("not done")
            else:
                self.do(step)
        if options["dry_run"]:
            self.stdout.write("Nothing was changed.")
        else:
            self.stdout.write(f"{options['name']} is {enrolment.node.intent} and {enrolment.node.health}.")

    def do(self, step: Step) -> None:
        began = time.monotonic()
        try:
            found = step.run()
        except NodeError as error:
            self.stdout.write(self.style.ERROR("failed"))
            raise CommandError(str(error), returncode=1 if error.permanent else EX_TEMPFAIL) from None
        self.stdout.write(f"{self.style.SUCCESS('done')}  {found} ({time.monotonic() - began:.2f} s)")

    def ask_whether(self, shown: str) -> bool:
        if not sys.stdin.isatty():
            raise CommandError(f"The machine shows the host key {shown}. If it is right, give --host-key {shown}.")
        return input(f"\n  The machine shows the host key {shown}. Is it right? [y/N] ").strip().lower() == "y"


def wanted(options: dict[str, Any]) -> Wanted:
    engines = dict(pair.partition("=")[::2] for pair in options["engine"])
    if not all(name and path for name, path in engines.items()):
        raise CommandError("--engine takes NAME=PATH, for example valkey=/opt/valkey/bin/valkey-server.")
    for name in ("capacity_mb", "first_port", "slots", "default_storage_mb"):
        if options[name] is not None and not 0 < options[name] <= LARGEST:
            raise CommandError(f"--{name.replace('_', '-')} takes a whole number above 0.")
    check_name(options["name"])
    default_supervisor = Supervisor.SYSTEMD if options["bootstrap_user"] == "root" else Supervisor.PROCESSES
    return Wanted(
        name=options["name"],
        region=options["region"],
        host=options["host"],
        ssh_host=options["ssh_host"] or options["host"],
        ssh_port=options["ssh_port"],
        ssh_user=options["bootstrap_user"],
        capacity_mb=options["capacity_mb"],
        supervisor=Supervisor(options["supervisor"] or default_supervisor),
        bootstrap_key=options["bootstrap_key"],
        bind=options["bind"],
        first_port=options["first_port"],
        slots=options["slots"],
        default_storage_mb=options["default_storage_mb"],
        engines=engines,
    )


def check_name(name: str) -> None:
    try:
        Node._meta.get_field("name").run_validators(name)
    except ValidationError as error:
        raise CommandError(f"{name!r} cannot name a node: {' '.join(error.messages)}") from None
