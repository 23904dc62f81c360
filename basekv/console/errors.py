"""What the console answers when it cannot do what was asked: in words, and with the way back."""

from http import HTTPStatus

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template import loader
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views import defaults

from basekv.api import errors
from basekv.requests import current


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if not is_of_the_console(request):
        return defaults.permission_denied(request, exception)
    text = "Your role does not let you do this. A superuser gives roles."
    return said(request, HTTPStatus.FORBIDDEN, "Not for your role", text)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if not is_of_the_console(request):
        return defaults.page_not_found(request, exception)
    text = "There is no such page, or what it was about is gone by now."
    return said(request, HTTPStatus.NOT_FOUND, "Not there", text)


def form_expired(request: HttpRequest, reason: str = "") -> HttpResponse:
    """settings.CSRF_FAILURE_VIEW: somebody signed out or in meanwhile, or another site has sent this."""
    text = "This form is out of date, and nothing was done. Go back, load the page anew, and send it again."
    return said(request, HTTPStatus.FORBIDDEN, "Out of date", text)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Asks neither session nor database, which may be what failed."""
    if not is_of_the_console(request):
        return errors.server_error(request)
    page = loader.render_to_string("console/server_error.html", {"request_id": current.get()})
    return HttpResponse(page, status=HTTPStatus.INTERNAL_SERVER_ERROR)


def is_of_the_console(request: HttpRequest) -> bool:
    return request.path.startswith(reverse("admin:index"))


def said(request: HttpRequest, status: HTTPStatus, title: str, text: str) -> HttpResponse:
    context = {**admin.site.each_context(request), "title": title, "text": text}
    return TemplateResponse(request, "console/error.html", context, status=status).render()
