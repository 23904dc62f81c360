"""JSON in and out. orjson is strict where the standard library is not: UTF-8 only, no NaN, no lone surrogates."""

from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.conf import settings
from rest_framework import renderers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from basekv.api.errors import BodyTooLarge


class JSONParser(BaseParser):
    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read(settings.API_MAX_BODY_BYTES + 1)
        if len(body) > settings.API_MAX_BODY_BYTES:
            raise BodyTooLarge(settings.API_MAX_BODY_BYTES)
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body is not JSON in UTF-8: {error}.") from None


class JSONRenderer(renderers.JSONRenderer):
    """Text that PostgreSQL has made already travels as orjson.Fragment; bytes are an answer made before."""

    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return data if isinstance(data, bytes) else dumps(data)


def dumps(data: Any) -> bytes:
    return orjson.dumps(data)


def canonical(data: Any) -> bytes:
    """The same bytes for the same JSON, whatever its spacing and the order of its keys."""
    try:
        return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # it reads more levels than it writes
        raise ParseError("The body is nested too deeply.") from None
