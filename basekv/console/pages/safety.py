"""What keeps all of it safe: alerts, the audit trail, the people who sign in here."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db import transaction
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts import people, views
from accounts.actors import Actor
from accounts.audited_admin import AuditedAdmin
from accounts.models import AuditEntry, User
from basekv.console import finding, subjects
from basekv.console.buttons import Button, Data, Done
from basekv.console.labels import label
from basekv.console.page import Page
from instances import alerts
from instances.models import Alert

ENDS_SESSIONS = {"is_active", "is_staff", "is_superuser"}


class SuperusersOnly(ModelAdmin):
    """Whoever may change people may do everything: nobody else may."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.is_superuser

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.is_superuser


@admin.register(User)
class UserPage(SuperusersOnly, AuditedAdmin, DjangoUserAdmin[User]):
    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm
    ordering = ["email"]
    list_display = ["email", "name", "is_staff", "is_active"]
    search_fields = ["email", "name"]
    fieldsets = [
        (None, {"fields": ["email", "password", "name"]}),
        ("Rights", {"fields": ["is_active", "is_staff", "is_superuser", "groups"]}),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [(None, {"classes": ["wide"], "fields": ["email", "password1", "password2"]})]

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and ENDS_SESSIONS & set(form.changed_data):
            people.end_sessions(obj)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        with transaction.atomic():
            answer = super().user_change_password(request, id, form_url)
            if request.method == "POST" and answer.status_code == 302:
                views.record_password(request, User.objects.get(pk=id))
        return answer


def acknowledge(alert: Alert, by: Actor, data: Data) -> Done:
    if alerts.acknowledge(alert.pk, by=by):
        return Done("You have it in hand; the alert stays open until its cause is gone.")
    return Done("Somebody else has it in hand, or it is resolved by now.")


ACKNOWLEDGE = Button(
    name="acknowledge",
    label="Acknowledge",
    icon="back_hand",
    permission="instances.acknowledge_alert",
    do=acknowledge,
    when=lambda alert: alert.resolved_at is None and alert.acknowledged_at is None,
    bulk=True,
)


@admin.register(Alert)
class AlertPage(Page):
    """Opened and resolved by the comparison in instances/alerts.py alone."""

    list_display = ["kind", "show_severity", "state", "subject_label", "text", "opened_at"]
    list_filter = ["severity", "kind", ("resolved_at", admin.EmptyFieldListFilter)]
    ordering = ["-opened_at"]
    narrows_by = frozenset({"resolved_at__isnull"})
    search = finding.any_of(finding.by_name("subject_label"), finding.exactly("subject_id"), finding.exactly("kind"))
    search_help_text = "The beginning of what it is about, its id, or a kind."
    overview = "console/alert.html"
    fields: list[str] = []
    buttons = [ACKNOWLEDGE]

    @admin.display(description="severity", ordering="severity")
    def show_severity(self, alert: Alert) -> SafeString:
        return label(alert.severity)

    @admin.display(description="state")
    def state(self, alert: Alert) -> SafeString:
        return label("resolved" if alert.resolved_at else "acknowledged" if alert.acknowledged_at else "open")

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {"alert": obj, "subject": subjects.address_of(obj.subject_type, obj.subject_id)}


@admin.register(AuditEntry)
class AuditEntryPage(Page):
    """Searched by what is indexed: the whole of an actor, a subject's or an account's id, an action."""

    list_display = ["at", "actor_label", "action", "subject_label", "address"]
    list_filter = ["actor_kind", "at"]
    narrows_by = frozenset({"account_id__exact", "account_id", "subject_id", "action"})
    search = finding.any_of(finding.exactly("actor_label"), finding.exactly("subject_id"), finding.exactly("action"))
    search_help_text = "An email or a token's prefix; an action, such as node.drain; the id of what it was done to."
    overview = "console/audit_entry.html"
    fields: list[str] = []

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {"entry": obj}
