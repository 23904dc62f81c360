import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from accounts import encryption
from instances import reencryption
from instances.reencryption import Pass, State

NOT_DONE = 3


class Command(BaseCommand):
    help = (
        "Encrypt every stored secret with the first of BASEKV_ENCRYPTION_KEYS, and say whether the others are still "
        f"needed. It can be stopped and run again at any time. The exit status is {NOT_DONE} if something is left that "
        "needs another key, or that none decrypts."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            encryption.fernet(tuple(settings.BASEKV_ENCRYPTION_KEYS))
        except (ImproperlyConfigured, ValueError) as error:
            raise CommandError(f"BASEKV_ENCRYPTION_KEYS: {error}") from None
        replaced, last = reencryption.run(lambda seen: None if options["json"] else self.tell(seen))
        found = {
            "secrets": last.states.total(),
            "replaced": replaced,
            "left": last.states[State.OLD],
            "unreadable": last.unreadable,
            "old_keys_needed": last.states[State.OLD] > 0,
        }
        self.stdout.write(json.dumps(found, indent=2) if options["json"] else "\n".join(lines(found)))
        if found["left"] or found["unreadable"]:
            sys.exit(NOT_DONE)

    def tell(self, seen: Pass) -> None:
        self.stdout.write(f"{seen.states.total()} looked at, {seen.replaced} encrypted again")


def lines(found: dict[str, Any]) -> list[str]:
    others = len(settings.BASEKV_ENCRYPTION_KEYS) - 1
    shown = [
        f"{item['model']} {item['id']}: no key decrypts its {item['field']}. Put the missing key back and run this "
        "again; if it is lost, so is this secret."
        for item in found["unreadable"]
    ]
    if found["left"]:
        shown.append(
            f"{found['left']} still need another key: something writes with an old first key. Restart every web "
            "server, worker and beat with the new list of keys, and run this again."
        )
    elif others:
        shown.append(f"Nothing needs the {others} other keys any more: take them out of BASEKV_ENCRYPTION_KEYS.")
    else:
        shown.append("There is one key, and nothing needs another.")
    return shown
