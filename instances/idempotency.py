"""One create per Idempotency-Key: the first answer is kept with the instance's transaction and given again."""

import hashlib
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import connection, transaction

from accounts.clock import Now
from instances.errors import IdempotencyKeyReused
from instances.models import IdempotencyKey

KEPT = timedelta(hours=24)

# A twin waits here for the first one's transaction. If that fails, nothing was kept and the twin is the first.
CLAIM = """
    INSERT INTO instances_idempotencykey AS k (account_id, key, request_digest, response, created_at)
    VALUES (%s, %s, %s, '', clock_timestamp())
        ON CONFLICT ON CONSTRAINT instances_idempotency_account_key
        DO UPDATE SET request_digest = EXCLUDED.request_digest, created_at = EXCLUDED.created_at
     WHERE k.created_at < clock_timestamp() - %s
 RETURNING k.id
"""


@transaction.atomic
def once(*, account_id: uuid.UUID, key: str, request: bytes, answer: Callable[[], bytes]) -> tuple[bytes, bool]:
    """`answer()` the first time, what it gave then (and True) every other time. Raises IdempotencyKeyReused."""
    digest = hashlib.sha256(request).digest()
    with connection.cursor() as cursor:
        claim: list[Any] = [account_id, key, digest, KEPT]
        cursor.execute(CLAIM, claim)
        claimed = cursor.fetchone()
    if claimed:
        response = answer()
        IdempotencyKey.objects.filter(pk=claimed[0]).update(response=response)
        return response, False
    kept = IdempotencyKey.objects.get(account_id=account_id, key=key)
    if bytes(kept.request_digest) != digest:
        raise IdempotencyKeyReused
    return bytes(kept.response), True


def forget() -> int:
    """Erases what is too old to be given again; returns how many."""
    return IdempotencyKey.objects.filter(created_at__lt=Now() - KEPT).delete()[0]
