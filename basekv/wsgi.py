"""The web server's way in: granian --interface wsgi basekv.wsgi:application."""

import os
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from django.core.wsgi import get_wsgi_application

from basekv.turns import Turns

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "basekv.settings")


def with_length(application: WSGIApplication, limit: int) -> WSGIApplication:
    """Gives a chunked body the length that Django wants to know: enough to show that it is too long. It is not read
    here, before anybody has shown a token."""

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
            environ = {**environ, "CONTENT_LENGTH": str(limit + 1)}
        return application(environ, start_response)

    return call


def make() -> WSGIApplication:
    django = get_wsgi_application()
    from django.conf import settings  # configured by the line above

    return Turns(with_length(django, max(settings.API_MAX_BODY_BYTES, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)))


application = make()
