"""The audit trail: who did what to what, and from where; docs/adr/0005 says why it is made as it is."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Model, QuerySet

from accounts.actors import Actor
from accounts.models import Account, AuditEntry

# What stands for a secret: that it was changed may be known, what it is may not.
CHANGED = "changed"


def record(
    *,
    actor: Actor,
    action: str,
    subject: Model,
    account: Account | uuid.UUID | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """One entry, in the transaction of the change: call it inside. `action` is subject.verb, as in `node.drain`.

    Of `before` and `after` only what differs is kept. A secret is never put in: say CHANGED.
    """
    return AuditEntry.objects.create(
        actor_kind=actor.kind,
        actor_label=shortened(actor.label),
        user_id=actor.user_id,
        token_id=actor.token_id,
        address=actor.address,
        request_id=actor.request_id,
        action=action,
        subject_type=subject._meta.label_lower,
        subject_id="" if subject.pk is None else str(subject.pk),
        subject_label=shortened(str(subject)),
        account_id=account.pk if isinstance(account, Account) else account,
        changes=differences(before or {}, after or {}),
    )


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """{field: [before, after]}; what one side does not name was, or is, nothing."""
    names = [*before, *(name for name in after if name not in before)]
    pairs = {name: [plain(before.get(name)), plain(after.get(name))] for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def plain(value: Any) -> Any:
    """As JSON has it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, list | tuple | set | frozenset | QuerySet):
        return [plain(item) for item in value]
    return str(value)


def shortened(text: str) -> str:
    return text[: AuditEntry.LABEL_LENGTH].replace("\0", "")
