"""Every error that the API answers: one sentence to act on, one stable code, never a trace."""

import logging
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from basekv.requests import current
from instances import errors as instances

logger = logging.getLogger(__name__)


class ApiError(exceptions.APIException):
    """An answer with a status, a code, and whatever else the body and the headers say.

    Its message is the class's docstring where none is given.
    """

    status = 400
    code = "invalid_input"

    def __init__(self, message: str = "", *, headers: dict[str, str] | None = None, **body: Any) -> None:
        super().__init__(message or self.__doc__)
        self.headers = headers or {}
        self.body = body


class InvalidToken(ApiError):
    """Send a valid token: Authorization: Bearer bkv_..."""

    status = 401
    code = "invalid_token"

    def __init__(self, message: str = "") -> None:
        super().__init__(message, headers={"WWW-Authenticate": 'Bearer realm="basekv"'})


class Forbidden(ApiError):
    """The token may not do this."""

    status = 403
    code = "forbidden"

    def __init__(self, code: str, message: str, **body: Any) -> None:
        super().__init__(message, **body)
        self.code = code


class QuotaExceeded(ApiError):
    """The day's quota of requests is used up."""

    status = 429
    code = "daily_quota_exceeded"


class BodyTooLarge(ApiError):
    """The body is larger than the API takes; 64 KiB is the limit."""

    status = 413
    code = "body_too_large"


class InvalidInput(ApiError):
    """Some fields are wrong."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        field, problems = next(iter(fields.items()))
        super().__init__(f"{field}: {problems[0]}", fields=fields)


# What the domain raises -> how it is answered. The message is the domain's.
DOMAIN: dict[type[Exception], tuple[int, str]] = {
    instances.NotFound: (404, "not_found"),
    instances.InvalidTransition: (409, "invalid_transition"),
    instances.NoPassword: (409, "no_password"),
    instances.DatabaseLimitReached: (429, "database_limit_reached"),
    instances.NoNodeAvailable: (503, "no_node_available"),
    instances.IdempotencyKeyReused: (400, "idempotency_key_reused"),
}

FRAMEWORK: dict[type[Exception], tuple[int, str, str]] = {
    exceptions.MethodNotAllowed: (405, "method_not_allowed", "This path does not take this method."),
    exceptions.NotAcceptable: (406, "not_acceptable", "The API answers application/json; accept that."),
    exceptions.UnsupportedMediaType: (
        415,
        "unsupported_media_type",
        "Send the body as JSON, with Content-Type: application/json.",
    ),
    Http404: (404, "not_found", "There is nothing at this path; /api/docs/ lists what there is."),
    PermissionDenied: (403, "forbidden", "This is not allowed."),
}


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: every exception of every API view ends here."""
    if isinstance(error, instances.UnknownRegion):
        error = InvalidInput({"region": [str(error)]})
    if isinstance(error, exceptions.ValidationError):
        error = InvalidInput(fields_of(error.detail))
    if isinstance(error, ApiError):
        return body(error.status, error.code, str(error), headers=error.headers, **error.body)
    if isinstance(error, instances.NoNodeAvailable):
        logger.warning("503: %s", error.reason)
    if isinstance(error, exceptions.ParseError):
        return body(400, "malformed_body", str(error.detail))
    if isinstance(error, exceptions.MethodNotAllowed):
        allow = ", ".join(context["view"].allowed_methods)
        return body(*FRAMEWORK[type(error)], headers={"Allow": allow})
    if known := DOMAIN.get(type(error)):
        return body(*known, str(error))
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("The database cannot be reached", exc_info=error)
        return body(503, "temporarily_unavailable", "BaseKV cannot reach its own database. Try again in a moment.")
    if framework := FRAMEWORK.get(type(error)):
        return body(*framework)
    logger.error("The API failed", exc_info=error)
    return body(500, "internal_error", internal())


def fields_of(detail: Any) -> dict[str, list[str]]:
    """DRF's name for what is wrong with the whole is `non_field_errors`; ours is `body`."""
    named = detail if isinstance(detail, dict) else {"non_field_errors": detail}
    return {
        "body" if name == "non_field_errors" else str(name): [str(problem) for problem in problems]
        for name, problems in named.items()
    }


def body(
    status: int, code: str, message: str, *, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    return Response({"error": message, "code": code, **more}, status=status, headers=headers)


def internal() -> str:
    return f"Something went wrong on our side. Tell support the request id {current.get()}."


def unknown_path(request: HttpRequest) -> JsonResponse:
    status, code, message = FRAMEWORK[Http404]
    return JsonResponse({"error": message, "code": code}, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if not request.path.startswith("/api/"):
        return defaults.bad_request(request, exception)
    return JsonResponse(
        {"error": "The request is malformed.", "code": "malformed_request"}, status=HTTPStatus.BAD_REQUEST
    )


def server_error(request: HttpRequest) -> HttpResponseBase:
    """For what fails outside of the API's views: in a middleware, in the console."""
    if not request.path.startswith("/api/"):
        return defaults.server_error(request)
    return JsonResponse({"error": internal(), "code": "internal_error"}, status=500)
