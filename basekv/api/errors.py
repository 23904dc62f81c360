"""Every error that the API answers: one sentence to act on, one stable code, never a trace."""

import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.response import Response

from basekv.requests import current
from instances import errors as instances

logger = logging.getLogger(__name__)

RETRY_AFTER = "2"  # seconds; a PostgreSQL that restarts is away for about that long


class ApiError(exceptions.APIException):
    """An answer with a status, a code, and whatever else the body and the headers say."""

    def __init__(
        self, status: int, code: str, message: str, *, headers: dict[str, str] | None = None, **body: Any
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers
        self.body = {"error": message, "code": code, **body}


class InvalidToken(ApiError):
    def __init__(self, message: str = "Send a valid token: Authorization: Bearer bkv_...") -> None:
        super().__init__(401, "invalid_token", message, headers={"WWW-Authenticate": 'Bearer realm="basekv"'})


class InvalidInput(ApiError):
    def __init__(self, fields: dict[str, list[str]]) -> None:
        field, problems = next(iter(fields.items()))
        super().__init__(400, "invalid_input", f"{field}: {problems[0]}", fields=fields)


class BodyTooLarge(ApiError):
    def __init__(self, limit: int) -> None:
        super().__init__(413, "body_too_large", f"The body is larger than the {limit} bytes that the API takes.")


def unreachable(error: Exception) -> ApiError:
    logger.error("The database cannot be reached", exc_info=error)
    message = "BaseKV cannot reach its own database. Try again in a moment."
    return ApiError(503, "temporarily_unavailable", message, headers={"Retry-After": RETRY_AFTER})


def no_node(error: instances.NoNodeAvailable) -> ApiError:
    logger.warning("No node: %s", error.reason)
    return ApiError(503, "no_node_available", str(error))


def internal(error: Exception) -> ApiError:
    logger.error("The API failed", exc_info=error)
    message = f"Something went wrong on our side. Tell support the request id {current.get()}."
    return ApiError(500, "internal_error", message)


MALFORMED = ApiError(400, "malformed_request", "The request is malformed: its headers, its path or its query.")
NOTHING_HERE = ApiError(404, "not_found", "There is nothing at this path; /api/docs/ lists what there is.")

# What is raised -> how it is answered. The domain's messages are for the customer already.
ANSWERS: dict[type[Exception], Callable[[Any], ApiError]] = {
    ApiError: lambda error: error,
    instances.NotFound: lambda error: ApiError(404, "not_found", str(error)),
    instances.InvalidTransition: lambda error: ApiError(409, "invalid_transition", str(error)),
    instances.NoPassword: lambda error: ApiError(409, "no_password", str(error)),
    instances.UnknownRegion: lambda error: InvalidInput({"region": [str(error)]}),
    instances.DatabaseLimitReached: lambda error: ApiError(429, "database_limit_reached", str(error)),
    instances.NoNodeAvailable: no_node,
    instances.IdempotencyKeyReused: lambda error: ApiError(400, "idempotency_key_reused", str(error)),
    exceptions.ValidationError: lambda error: InvalidInput(fields_of(error.detail)),
    exceptions.ParseError: lambda error: ApiError(400, "malformed_body", str(error.detail)),
    exceptions.MethodNotAllowed: lambda _: ApiError(
        405, "method_not_allowed", "This path does not take this method; the Allow header lists those that it takes."
    ),
    exceptions.NotAcceptable: lambda _: ApiError(
        406, "not_acceptable", "The API answers application/json; accept that."
    ),
    exceptions.UnsupportedMediaType: lambda _: ApiError(
        415, "unsupported_media_type", "Send the body as JSON, with Content-Type: application/json."
    ),
    Http404: lambda _: NOTHING_HERE,
    SuspiciousOperation: lambda _: MALFORMED,
    OperationalError: unreachable,
    InterfaceError: unreachable,
}


def handle(error: Exception, _: dict[str, Any]) -> Response:
    """DRF's exception handler: every exception of every API view ends here."""
    answer = next((ANSWERS[kind] for kind in ANSWERS if isinstance(error, kind)), internal)(error)
    return Response(answer.body, status=answer.status, headers=answer.headers)


def fields_of(detail: Any) -> dict[str, list[str]]:
    """What is wrong with the whole body, and not with one field, is named `body`."""
    named = detail if isinstance(detail, dict) else {"non_field_errors": detail}
    return {
        "body" if name == "non_field_errors" else str(name): [str(problem) for problem in problems]
        for name, problems in named.items()
    }


# --- What fails outside of the API's views: before a path is found, in a middleware, in the console -------------------


@csrf_exempt
def unknown_path(_: HttpRequest) -> JsonResponse:
    return plain(NOTHING_HERE)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if not request.path.startswith("/api/"):
        return defaults.bad_request(request, exception)
    return plain(MALFORMED)


def server_error(request: HttpRequest) -> HttpResponseBase:
    if not request.path.startswith("/api/"):
        return defaults.server_error(request)
    message = f"Something went wrong on our side. Tell support the request id {current.get()}."
    return plain(ApiError(500, "internal_error", message))


def plain(answer: ApiError) -> JsonResponse:
    return JsonResponse(answer.body, status=answer.status)
