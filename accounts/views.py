"""The console's doors that are about oneself: sign in, the code, the second factor, the password."""

from enum import StrEnum
from typing import Any, ClassVar, cast

import segno
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.views import LoginView
from django.db import transaction
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from accounts import actors, people, sign_in, two_factor
from accounts.errors import AccountError
from accounts.forms import CodeForm, PasswordForm, SignInForm
from accounts.models import SecondFactor, User

PIXELS = 5  # of a QR code's module


class SignIn(LoginView):
    template_name = "admin/login.html"
    authentication_form = SignInForm
    next_page = "admin:index"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if admin.site.has_permission(request):
            return HttpResponseRedirect(self.get_success_url())
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = {**admin.site.each_context(self.request), "title": "Sign in", "subtitle": None}
        return {**context, "app_path": self.request.get_full_path(), **super().get_context_data(**kwargs)}

    def form_valid(self, form: Any) -> HttpResponse:
        person = form.get_user()
        # Read before the session, and what it says, is gone.
        destination = self.get_success_url()
        if two_factor.is_on(person):
            sign_in.wait_for_code(self.request, person)
            self.request.session[sign_in.DESTINATION] = destination
            return redirect("sign_in_code")
        sign_in.complete(self.request, person, second_factor=False)
        return HttpResponseRedirect(destination)


@method_decorator([sensitive_post_parameters("code"), csrf_protect, never_cache], name="dispatch")
class SignInCode(FormView[CodeForm]):
    template_name = "accounts/sign_in_code.html"
    form_class = CodeForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if sign_in.waiting(request) is None:
            return redirect("sign_in")
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = {**admin.site.each_context(self.request), "title": "Your code", "subtitle": None}
        return {**context, **super().get_context_data(**kwargs)}

    def form_valid(self, form: CodeForm) -> HttpResponse:
        person = sign_in.waiting(self.request)
        assert person is not None
        destination = self.request.session.get(sign_in.DESTINATION, reverse("admin:index"))
        try:
            sign_in.with_code(self.request, person, form.cleaned_data["code"])
        except AccountError as error:
            form.add_error("code", str(error))
            return self.form_invalid(form)
        sign_in.complete(self.request, person, second_factor=True)
        return HttpResponseRedirect(destination)


class State(StrEnum):
    """Of somebody's second factor."""

    OFF = "off"
    PENDING = "pending"
    ON = "on"


@method_decorator(sensitive_post_parameters("code", "password"), name="dispatch")
class SecondFactorPage(FormView[Form]):
    """One page: what there is, and what can be done about it. Reached through admin_view, which asks who it is."""

    template_name = "accounts/second_factor.html"
    actions: ClassVar[dict[State, set[str]]] = {
        State.OFF: {"begin"},
        State.PENDING: {"confirm"},
        State.ON: {"renew", "disable"},
    }

    @property
    def person(self) -> User:
        return cast(User, self.request.user)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.factor = SecondFactor.objects.filter(user=self.person).select_related("user").first()
        self.state = State.OFF if self.factor is None else State.ON if self.factor.confirmed_at else State.PENDING
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.POST.get("action") not in self.actions[self.state]:
            return redirect("second_factor")  # asked on a page that is out of date
        return super().post(request, *args, **kwargs)

    def get_form_class(self) -> type[Form]:
        return PasswordForm if self.state is State.OFF else CodeForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = {
            **admin.site.each_context(self.request),
            "title": "Second factor",
            "factor": self.factor,
            "required": settings.BASEKV_REQUIRE_2FA,
            "codes_left": self.person.recovery_codes.count(),
        }
        if self.factor and self.state is State.PENDING:
            address = two_factor.address(self.factor)
            context["qr"] = segno.make_qr(address).svg_inline(scale=PIXELS, light="white")
            context["secret"] = two_factor.secret(self.factor)
        return {**context, **super().get_context_data(**kwargs)}

    def form_valid(self, form: Form) -> HttpResponse:
        try:
            answer: HttpResponse = getattr(self, self.request.POST["action"])(form)
        except AccountError as error:
            form.add_error(None, str(error))
            return self.form_invalid(form)
        return answer

    def begin(self, form: Form) -> HttpResponse:
        sign_in.with_own_password(self.request, self.person, form.cleaned_data["password"])
        two_factor.begin(self.person)
        return redirect("second_factor")

    def confirm(self, form: Form) -> HttpResponse:
        codes = two_factor.confirm(self.person, form.cleaned_data["code"], by=actors.user(self.request))
        sign_in.complete(self.request, self.person, second_factor=True)
        return self.show(codes)

    def renew(self, form: Form) -> HttpResponse:
        return self.show(
            two_factor.renew_recovery_codes(self.person, form.cleaned_data["code"], by=actors.user(self.request))
        )

    def disable(self, form: Form) -> HttpResponse:
        two_factor.disable(self.person, form.cleaned_data["code"], by=actors.user(self.request))
        sign_in.complete(self.request, self.person, second_factor=False)
        return redirect("second_factor")

    def show(self, codes: list[str]) -> HttpResponse:
        """The only time: they are in no other answer."""
        context = {**admin.site.each_context(self.request), "title": "Recovery codes", "codes": codes}
        return TemplateResponse(self.request, "accounts/recovery_codes.html", context)


def change_password(request: HttpRequest) -> HttpResponse:
    """The console's own page, written down. The other sessions end by themselves: theirs has another password."""
    person = cast(User, request.user)
    if person.password_is_first and request.method == "GET":
        messages.info(request, "Somebody else knows your password. Choose one of your own: the console opens then.")
    with transaction.atomic():
        response = admin.site.password_change(request)
        if request.method == "POST" and response.status_code == 302:
            people.record_new_password(person, by=actors.user(request))
    return response
