"""What a page may load and run, as its browser is told: settings.CONTENT_SECURITY_POLICIES, by path."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

HEADER = "Content-Security-Policy"


class ContentSecurityPolicy:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault(HEADER, policy(request.path))
        return response


def policy(path: str) -> str:
    """That of the longest prefix of the path."""
    policies: dict[str, str] = settings.CONTENT_SECURITY_POLICIES
    return policies[max((prefix for prefix in policies if path.startswith(prefix)), key=len)]
