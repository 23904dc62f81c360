import uuid
from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import OpClass
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Upper
from django.utils import timezone

from accounts.actors import ActorKind
from accounts.scopes import Scope


class UserManager(BaseUserManager["User"]):
    @transaction.atomic
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in to the console, by email."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=200, blank=True)
    is_staff = models.BooleanField("may sign in to the console", default=False)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now)
    # Part of what a session is checked against: one more, and all of the person's sessions have ended.
    session_generation = models.PositiveIntegerField(default=0, db_default=0, editable=False)

    # Somebody else has chosen the password: the person chooses another before anything else.
    password_is_first = models.BooleanField(default=False, db_default=False, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    EMAIL_FIELD = USERNAME_FIELD = "email"

    def __str__(self) -> str:
        return self.email

    @classmethod
    def normalize_username(cls, username: str) -> str:
        """Django's forms ask it: an email is kept as it is looked for, whoever typed it."""
        return super().normalize_username(username).lower()

    def get_session_auth_hash(self) -> str:
        return f"{super().get_session_auth_hash()}:{self.session_generation}"

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        return (f"{hash}:{self.session_generation}" for hash in super().get_session_auth_fallback_hash())


class SecondFactor(models.Model):
    """A person's authenticator app: what it and we know. In force once its first code was right."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="second_factor")
    secret_encrypted = models.TextField(editable=False)
    confirmed_at = models.DateTimeField(null=True)
    # The time step of the last code that was taken: neither it nor an earlier one is taken again.
    last_step = models.BigIntegerField(default=0)
    failures = models.PositiveIntegerField("wrong codes in a row", default=0)
    failed_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return f"second factor of {self.user_id}"


class RecoveryCode(models.Model):
    """Instead of one code of the authenticator, once. It has 80 random bits, so a plain SHA-256 is a safe digest."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.BinaryField(max_length=32)

    class Meta:
        default_permissions: ClassVar[list[str]] = []
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="accounts_recoverycode_once")]

    def __str__(self) -> str:
        return f"recovery code of {self.user_id}"


class Account(models.Model):
    """The tenant: it owns service accounts, subscriptions, usage and instances."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, unique=True)
    suspended_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        permissions = [("suspend_account", "Can suspend and resume accounts")]
        # What begins with a word, in upper or lower case.
        indexes = [models.Index(OpClass(Upper("name"), name="text_pattern_ops"), name="accounts_account_search")]

    def __str__(self) -> str:
        return self.name


class ServiceAccount(models.Model):
    """A machine identity of an account; its tokens act in its name."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="service_accounts")
    name = models.CharField(max_length=100)
    disabled_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["account", "name"]
        permissions = [("disable_serviceaccount", "Can disable and enable service accounts")]
        indexes = [
            models.Index(OpClass(Upper("name"), name="text_pattern_ops"), name="accounts_serviceaccount_search"),
            models.Index(fields=["-created_at", "-id"], name="accounts_serviceaccount_latest"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["account", "name"], name="accounts_serviceaccount_name"),
        ]

    def __str__(self) -> str:
        return f"{self.account} / {self.name}"


class Token(models.Model):
    """A bearer secret with scopes. Only the secret's digest is here; accounts/tokens.py makes and reads the text."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    service_account = models.ForeignKey(ServiceAccount, on_delete=models.CASCADE, related_name="tokens")
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    digest = models.BinaryField(max_length=32, editable=False)
    scopes = ArrayField(models.CharField(max_length=50, choices=Scope.choices))
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    # To the minute: the admission statement writes it at most that often and never waits for it.
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        permissions = [("issue_token", "Can issue tokens"), ("revoke_token", "Can revoke tokens")]
        indexes = [models.Index(fields=["-created_at", "-id"], name="accounts_token_latest")]

    def __str__(self) -> str:
        return self.prefix


class AuditEntry(models.Model):
    """Who did what. PostgreSQL refuses to change or delete a row (migration 0002), so it outlives what it is about:
    nothing here is a foreign key. Written by accounts/audit.py alone."""

    LABEL_LENGTH = 300

    at = models.DateTimeField(auto_now_add=True)
    actor_kind = models.CharField("kind of actor", max_length=20, choices=ActorKind)
    actor_label = models.CharField("actor", max_length=LABEL_LENGTH)
    user_id = models.BigIntegerField(null=True)
    token_id = models.UUIDField(null=True)
    address = models.GenericIPAddressField("from", null=True)
    request_id = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=50)
    subject_type = models.CharField(max_length=100)
    subject_id = models.CharField(max_length=64)
    subject_label = models.CharField("subject", max_length=LABEL_LENGTH)
    account_id = models.UUIDField(null=True)
    # {field: [before, after]}
    changes = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        default_permissions = ["view"]
        indexes = [
            models.Index(fields=["subject_id", "subject_type", "-id"], name="accounts_audit_subject"),
            models.Index(
                fields=["account_id", "-id"], condition=Q(account_id__isnull=False), name="accounts_audit_account"
            ),
            models.Index(fields=["actor_label", "-id"], name="accounts_audit_actor"),
            models.Index(fields=["action", "-id"], name="accounts_audit_action"),
            models.Index(fields=["at"], name="accounts_audit_at"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.subject_label}"
