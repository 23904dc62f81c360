"""Writes into the audit trail what is changed by a form of the console. A change by a verb writes itself."""

from typing import Any

from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from accounts import actors, audit
from accounts.models import Account


class AuditedAdmin(ModelAdmin):
    """Django has a transaction open around each of these."""

    def save_related(self, request: HttpRequest, form: ModelForm[Any], formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if form.changed_data or not change:
            self.record(request, form.instance, "change" if change else "create", *changes(form))

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        self.record(request, obj, "delete")
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for obj in queryset:
            self.record(request, obj, "delete")
        super().delete_queryset(request, queryset)

    def record(
        self,
        request: HttpRequest,
        obj: Model,
        verb: str,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> None:
        action = f"{obj._meta.verbose_name_raw.replace(' ', '_')}.{verb}"
        account = obj if isinstance(obj, Account) else getattr(obj, "account_id", None)
        audit.record(
            actor=actors.user(request), action=action, subject=obj, account=account, before=before, after=after
        )


def changes(form: ModelForm[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Before and after, without what is secret."""
    shown = [name for name in form.changed_data if "password" not in name]
    before = {name: form.initial.get(name) for name in shown}
    after = {name: form.cleaned_data.get(name) for name in shown}
    if len(shown) < len(form.changed_data):
        after["password"] = audit.CHANGED
    return before, after
