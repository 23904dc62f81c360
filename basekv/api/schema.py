"""How the OpenAPI document is made from the views: what DRF does not know of an operation is read from its rule."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiResponse

from basekv.api.admission import rule_of
from basekv.api.serializers import ErrorResponseSerializer


class Schema(AutoSchema):
    def get_extensions(self) -> dict[str, Any]:
        scope = rule_of(self.view).scope
        return {"x-required-scopes": [scope.value]} if scope else {}

    def _is_list_view(self, serializer: Any = None) -> bool:
        """Our lists are objects that have a list, so that they can have more."""
        return False


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "basekv.api.admission.BearerAuthentication"
    name = "BearerApiToken"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "API Token",
            "description": "Service-account API token issued by BaseKV.",
        }


def require_token(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Every operation needs a token; the contract says so once for the whole document too."""
    return {**result, "security": [{BearerScheme.name: []}]}


# status -> its description in the contract, and an example of each code that it can carry
ERRORS: dict[int, tuple[str, dict[str, str]]] = {
    400: (
        "Invalid input",
        {
            "invalid_input": "name: This field is required.",
            "malformed_body": "The body is not JSON in UTF-8: unexpected end of data: line 1 column 2 (char 1).",
        },
    ),
    401: ("Invalid token", {"invalid_token": "Send a valid token: Authorization: Bearer bkv_..."}),
    403: (
        "Forbidden or no active subscription",
        {
            "missing_scope": "The token lacks the scope db.instances.write. Issue one that has it.",
            "account_suspended": "The account is suspended. Contact support.",
            "no_active_subscription": "The account has no active subscription. Choose a plan.",
        },
    ),
    404: ("Not found", {"not_found": "This account has no such instance."}),
    406: ("Not acceptable", {"not_acceptable": "The API answers application/json; accept that."}),
    409: (
        "Invalid state transition",
        {
            "invalid_transition": "The instance is restarting; a restart is not possible then. "
            "Wait for its status to change."
        },
    ),
    413: (
        "Body too large",
        {"body_too_large": "The body is larger than the 65536 bytes that the API takes."},
    ),
    415: (
        "Unsupported media type",
        {"unsupported_media_type": "Send the body as JSON, with Content-Type: application/json."},
    ),
    429: (
        "Quota exceeded",
        {
            "daily_quota_exceeded": "The day's quota of 1000 requests is used up. "
            "It starts anew at 00:00 UTC; a larger plan has more."
        },
    ),
    503: (
        "Temporarily unavailable",
        {"temporarily_unavailable": "BaseKV cannot reach its own database. Try again in a moment."},
    ),
}
ALWAYS = (401, 403, 406, 503)


def errors(*statuses: int, **described: str) -> dict[int, OpenApiResponse]:
    """The error answers of an operation: those that every operation has and `statuses`. `described` (as in
    s403="...") changes a description."""
    return {
        status: error(status, described.get(f"s{status}", ERRORS[status][0])) for status in sorted({*ALWAYS, *statuses})
    }


def error(status: int, description: str, examples: dict[str, str] | None = None) -> OpenApiResponse:
    shown = examples or ERRORS[status][1]
    return OpenApiResponse(
        ErrorResponseSerializer,
        description=description,
        examples=[
            OpenApiExample(code, {"error": message, "code": code}, response_only=True)
            for code, message in shown.items()
        ],
    )
