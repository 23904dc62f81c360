from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.http import HttpRequest

from accounts.models import Account, ServiceAccount, Token, User


@admin.register(User)
class UserAdmin(DjangoUserAdmin[User]):
    ordering = ["email"]
    list_display = ["email", "name", "is_staff", "is_active"]
    search_fields = ["email", "name"]
    fieldsets = [
        (None, {"fields": ["email", "password", "name"]}),
        ("Rights", {"fields": ["is_active", "is_staff", "is_superuser", "groups", "user_permissions"]}),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [(None, {"classes": ["wide"], "fields": ["email", "password1", "password2"]})]


@admin.register(Account)
class AccountAdmin(admin.ModelAdmin[Account]):
    list_display = ["name", "id", "suspended_at", "created_at"]
    search_fields = ["name", "id"]


@admin.register(ServiceAccount)
class ServiceAccountAdmin(admin.ModelAdmin[ServiceAccount]):
    list_display = ["name", "account", "disabled_at", "created_at"]
    list_select_related = ["account"]
    search_fields = ["name", "account__name"]
    autocomplete_fields = ["account"]


@admin.register(Token)
class TokenAdmin(admin.ModelAdmin[Token]):
    """Tokens are issued by `issue_token`, which shows the secret once; here they are seen and revoked."""

    list_display = ["prefix", "service_account", "scopes", "expires_at", "revoked_at", "last_used_at"]
    list_select_related = ["service_account__account"]
    search_fields = ["prefix", "service_account__name", "service_account__account__name"]
    readonly_fields = ["prefix", "service_account", "scopes", "last_used_at", "created_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
