"""What all pages of the console have in common: quick lists, buttons, and an overview above the form."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from accounts import actors
from accounts.audited_admin import AuditedAdmin
from basekv.console import finding
from basekv.console.buttons import REFUSALS, Asking, Button, Done, Secret, allowed
from basekv.console.paging import CappedPaginator, QuickChangeList

PER_PAGE = 50


def address(obj: Model) -> str:
    return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])


def link(obj: Model, text: str = "") -> SafeString:
    return format_html('<a href="{}">{}</a>', address(obj), text or obj)


def listed(model: type[Model], query: str = "") -> str:
    """The list of a model; `query` filters it."""
    where = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{where}?{query}" if query else where


class Page(AuditedAdmin):
    """Nothing is added, changed or deleted but by buttons, unless a page says otherwise."""

    show_full_result_count = False
    list_per_page = PER_PAGE
    list_disable_select_all = True
    paginator = CappedPaginator
    compressed_fields = True
    change_form_template = "console/page.html"
    change_list_template = "console/list.html"

    buttons: ClassVar[Sequence[Button]] = ()
    list_buttons: ClassVar[Sequence[Button]] = ()
    overview: ClassVar[str] = ""
    """The template of what is above the form."""
    list_without: ClassVar[Sequence[str]] = ()
    """Large columns that a list does not show."""
    search: ClassVar[finding.Search | None] = None
    narrows_by: ClassVar[frozenset[str]] = frozenset()
    """Lookups that other pages link to, beside the filters of the list."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    # --- Lists

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[QuickChangeList]:
        return QuickChangeList

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        """Only whether there is any matters: `search` knows how."""
        return ["pk"] if self.search else []

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        word = search_term.strip().replace("\0", "")
        return (queryset.filter(self.search.where(word)) if self.search and word else queryset), False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup in self.narrows_by or bool(super().lookup_allowed(lookup, value, request))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The buttons that can be pressed for many at once; nothing else, and so no "delete selected"."""
        return {
            button.name: (self.ask_about_many, button.name, f"{button.label}…")
            for button in allowed(request, self.buttons)
            if button.bulk
        }

    @staticmethod
    def ask_about_many(page: "Page", request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """First what would happen to each; then, when that was read, it is done."""
        button = page.find_button(request, page.buttons, request.POST["action"])
        subjects = list(button.knowing(queryset)[: PER_PAGE + 1])
        if request.POST.get("sure"):
            page.do_for_many(request, button, subjects)
            return None
        context = {
            **page.admin_site.each_context(request),
            "opts": page.opts,
            "title": button.label,
            "button": button,
            "rows": [(subject, address(subject), told(button, subject)) for subject in subjects],
            "count": sum(button.when(subject) for subject in subjects),
            "back": request.get_full_path(),
        }
        return TemplateResponse(request, "console/many.html", context)

    def do_for_many(self, request: HttpRequest, button: Button, subjects: list[Any]) -> None:
        done = 0
        for subject in subjects:
            if not button.when(subject):
                continue
            try:
                button.do(subject, actors.user(request), {})
                done += 1
            except REFUSALS as error:
                messages.error(request, f"{subject}: {error}")
        messages.success(request, f"{button.label}: done for {done} of {len(subjects)}.")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST" and "action" in request.POST:
            self.find_button(request, [button for button in self.buttons if button.bulk], request.POST["action"])
        shown = {"list_buttons": list(allowed(request, self.list_buttons)), **(extra_context or {})}
        answer: HttpResponse = super().changelist_view(request, shown)
        return answer

    # --- One object

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        context = extra_context or {}
        obj = self.get_object(request, unquote(object_id)) if object_id else None
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        # What has an overview has its form on a page behind it.
        editing = may and (not self.overview or request.method == "POST" or "edit" in request.GET)
        context |= {"editing": editing, "may_edit": may and not editing}
        if obj is not None and not editing and self.has_view_permission(request, obj):
            context |= {
                "overview": self.overview,
                "buttons": [button for button in allowed(request, self.buttons) if button.when(obj)],
                **self.about(request, obj),
            }
        return super().changeform_view(request, object_id, form_url, context)

    def response_post_save_change(self, request: HttpRequest, obj: Model) -> HttpResponse:
        if self.overview:
            return HttpResponseRedirect(address(obj))
        answer: HttpResponse = super().response_post_save_change(request, obj)
        return answer

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """What the overview shows."""
        return {}

    # --- Buttons

    def get_urls(self) -> list[URLPattern]:
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        view = self.admin_site.admin_view
        ours = [
            path("do/<slug:name>/", view(self.press), name=f"{prefix}_do_on_list"),
            path("<str:object_id>/do/<slug:name>/", view(self.press), name=f"{prefix}_do"),
        ]
        return [*ours, *super().get_urls()]

    def find_button(self, request: HttpRequest, buttons: Sequence[Button], name: str) -> Button:
        """Raises Http404, PermissionDenied."""
        for button in buttons:
            if button.name == name:
                if not request.user.has_perm(button.permission):
                    raise PermissionDenied
                return button
        raise Http404

    @method_decorator([require_http_methods(["GET", "POST"]), never_cache])
    def press(self, request: HttpRequest, name: str, object_id: str | None = None) -> HttpResponse:
        """GET asks, POST does it. What a button previews is asked for by GET, too."""
        button = self.find_button(request, self.buttons if object_id else self.list_buttons, name)
        subject = self.subject_of(request, button, object_id) if object_id else None
        form = self.form_of(request, button, subject)
        known = form is None or (form.is_bound and form.is_valid())
        data = form.cleaned_data if form is not None and known else {}
        if request.method == "POST" and known:
            return self.carry_out(request, button, subject, data)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": subject,
            "title": button.label,
            "button": button,
            "possible": subject is None or button.when(subject),
            "form": form,
            "told": button.told(subject, data) if known or not button.previews else [],
            # Typed and previewed: now it is only to be confirmed.
            "settled": known and button.previews,
            "back": address(subject) if subject else listed(self.model),
        }
        return TemplateResponse(request, "console/ask.html", context)

    def subject_of(self, request: HttpRequest, button: Button, object_id: str) -> Any:
        """Raises Http404."""
        found = self.get_object(request, unquote(object_id))
        if found is None:
            raise Http404
        return button.knowing(self.get_queryset(request)).get(pk=found.pk)

    def form_of(self, request: HttpRequest, button: Button, subject: Any) -> Asking | None:
        if button.form is None:
            return None
        if request.method == "POST":
            return button.form(request.POST, subject=subject)
        return button.form(request.GET if button.previews and request.GET else None, subject=subject)

    @sensitive_variables("outcome")
    def carry_out(self, request: HttpRequest, button: Button, subject: Any, data: dict[str, Any]) -> HttpResponse:
        back = address(subject) if subject else listed(self.model)
        try:
            outcome = button.do(subject, actors.user(request), data)
        except REFUSALS as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(back)
        if isinstance(outcome, Secret):
            context = {**self.admin_site.each_context(request), "opts": self.opts, "original": subject}
            context |= {"title": outcome.title, "secret": outcome, "back": back}
            answer = TemplateResponse(request, "console/secret.html", context)
            answer["Cache-Control"] = "no-store"
            return answer
        messages.success(request, outcome.text)
        for button in allowed(request, self.buttons):
            if button.name == outcome.then:
                # As the first one left it.
                return self.carry_out(request, button, self.get_object(request, subject.pk), {})
        return self.after(outcome, back)

    def after(self, outcome: Done, back: str) -> HttpResponse:
        if outcome.gone:
            return HttpResponseRedirect(listed(self.model))
        return HttpResponseRedirect(address(outcome.goto) if outcome.goto else back)


def told(button: Button, subject: Any) -> str:
    if not button.when(subject):
        return "Not possible now; left as it is."
    return " ".join(button.told(subject, {}))
