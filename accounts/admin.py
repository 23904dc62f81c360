from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin

from accounts import people, views
from accounts.audited_admin import AuditedAdmin
from accounts.models import Account, AuditEntry, ServiceAccount, Token, User

# A role is what accounts/roles.py says; the next migrate would undo what was clicked together here.
admin.site.unregister(Group)

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
class UserAdmin(SuperusersOnly, AuditedAdmin, DjangoUserAdmin[User]):
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


@admin.register(Account)
class AccountAdmin(AuditedAdmin):
    list_display = ["name", "id", "suspended_at", "created_at"]
    search_fields = ["name", "id"]


@admin.register(ServiceAccount)
class ServiceAccountAdmin(AuditedAdmin):
    list_display = ["name", "account", "disabled_at", "created_at"]
    list_select_related = ["account"]
    search_fields = ["name", "account__name"]
    autocomplete_fields = ["account"]


@admin.register(Token)
class TokenAdmin(AuditedAdmin):
    """Tokens are issued by `issue_token`, which shows the secret once; here they are seen and revoked."""

    list_display = ["prefix", "service_account", "scopes", "expires_at", "revoked_at", "last_used_at"]
    list_select_related = ["service_account__account"]
    search_fields = ["prefix", "service_account__name", "service_account__account__name"]
    readonly_fields = ["prefix", "service_account", "scopes", "last_used_at", "created_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(AuditEntry)
class AuditEntryAdmin(ModelAdmin):
    """Searched by what is indexed: the whole of an actor, a subject's or an account's id, an action."""

    list_display = ["at", "actor_label", "action", "subject_label", "address"]
    list_filter = ["actor_kind", "at"]
    search_fields = ["actor_label__exact", "subject_id__exact", "action__exact"]
    search_help_text = "An email or a token's prefix; an action, such as node.drain; the id of what it was done to."
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
