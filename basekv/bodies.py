"""How much a request may bring along, where the API does not look itself (basekv/api/wire.py does, after the token)."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

API = "/api/v1/"


class BodyLimit:
    """Refuses what is larger before it is read; Django's own limit leaves out files, which nothing here takes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        too_long = not length.isdecimal() or int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if too_long and not request.path.startswith(API):
            return HttpResponse("The body is too large.\n", status=413, content_type="text/plain")
        return self.get_response(request)
