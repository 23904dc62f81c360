"""Enrols a real machine by the real command, as an operator would."""

from io import StringIO

from django.core.management import call_command

from nodes.models import Region
from tests.fleet.machine import Machine

SLOTS = 50


def enroll(machine: Machine, **changes: object) -> str:
    """What the command printed. Raises CommandError."""
    Region.objects.get_or_create(slug="local", defaults={"name": "Local"})
    options = {
        "host": machine.address,
        "region": "local",
        "slots": SLOTS,
        "capacity-mb": 4000,
        "bootstrap-user": "root",
        "bootstrap-key": machine.root_key,
        "host-key": machine.fingerprint,
        "supervisor": "systemd",
    } | changes
    words = [f"--{name}" if value is True else f"--{name}={value}" for name, value in options.items()]
    out = StringIO()
    call_command("enroll_node", machine.name, *words, stdout=out)
    return out.getvalue()
