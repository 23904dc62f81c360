"""What comes in beside the body: ids, flags, pages, the Idempotency-Key. Whatever is wrong is an InvalidInput."""

import base64
import binascii
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rest_framework.request import Request

from basekv.api.errors import InvalidInput
from basekv.api.serializers import CreateInstanceSerializer

FLAGS = {"true": True, "1": True, "false": False, "0": False}
LARGEST_PAGE = 1000
PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Page:
    """`limit` None: all there is. `after`: where the page before ended."""

    limit: int | None
    after: tuple[datetime, uuid.UUID] | None


def new_instance(request: Request) -> dict[str, Any]:
    """The checked body of a create. Fields that we do not know are passed over."""
    body = CreateInstanceSerializer(data=request.data)
    body.is_valid(raise_exception=True)
    return {"region": None, **body.validated_data}


def instance_id(text: str) -> uuid.UUID:
    try:
        parsed = uuid.UUID(text)
    except ValueError:
        parsed = None
    if parsed is None or str(parsed) != text.lower():
        raise InvalidInput({"id": ["This is not the id of an instance: a UUID in its usual form."]})
    return parsed


def flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text.lower() not in FLAGS:
        raise InvalidInput({name: ["Give true or false."]})
    return FLAGS[text.lower()]


def page(request: Request) -> Page:
    limit = request.query_params.get("limit")
    if limit is not None and not (re.fullmatch(r"[0-9]{1,4}", limit) and 1 <= int(limit) <= LARGEST_PAGE):
        raise InvalidInput({"limit": [f"Give a whole number from 1 to {LARGEST_PAGE}."]})
    cursor = request.query_params.get("cursor")
    return Page(
        limit=int(limit) if limit is not None else None,
        after=read_cursor(cursor) if cursor is not None else None,
    )


def write_cursor(created_at: datetime, pk: uuid.UUID) -> str:
    return base64.urlsafe_b64encode(f"{created_at.isoformat()} {pk}".encode()).decode()


def read_cursor(text: str) -> tuple[datetime, uuid.UUID]:
    try:
        created_at, _, pk = base64.b64decode(text, altchars=b"-_", validate=True).decode().partition(" ")
        moment = datetime.fromisoformat(created_at)
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC), uuid.UUID(pk)
    except (ValueError, OverflowError, binascii.Error):
        raise InvalidInput({"cursor": ["Give the next_cursor of the page before, unchanged."]}) from None


def idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not PRINTABLE.fullmatch(key):
        raise InvalidInput({"Idempotency-Key": ["Give 1 to 255 printable ASCII characters."]})
    return key
