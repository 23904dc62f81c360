from django.db import models
from django.db.models import F, Q

from accounts.models import Account


class Plan(models.Model):
    """Limits and price. A limit of null is no limit."""

    slug = models.SlugField(primary_key=True, max_length=50)
    name = models.CharField(max_length=100)
    max_databases = models.PositiveIntegerField(null=True, blank=True)
    max_storage_mb = models.PositiveIntegerField("storage of each database, MiB", null=True, blank=True)
    max_requests_per_day = models.PositiveIntegerField(null=True, blank=True)
    price_cents = models.PositiveIntegerField("price a month, cents", default=0)

    class Meta:
        ordering = ["price_cents", "slug"]
        constraints = [
            models.CheckConstraint(
                name="billing_plan_storage_not_zero",
                condition=Q(max_storage_mb__isnull=True) | Q(max_storage_mb__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """An account's plan over time; the one that has not ended is the active one."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="subscriptions")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    started_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["-started_at", "-id"], name="billing_subscription_latest")]
        constraints = [
            models.UniqueConstraint(
                fields=["account"], condition=Q(ended_at=None), name="billing_subscription_one_active"
            ),
            models.CheckConstraint(
                name="billing_subscription_ends_after_start",
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account}: {self.plan_id}"


class Usage(models.Model):
    """Counted requests of one account on one UTC day. Written by billing_admit() alone; see sql/admit.sql."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="usage")
    day = models.DateField()
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["-day"]
        verbose_name_plural = "usage"
        # One day's counts, of all accounts. No count is in it, so counting stays a heap-only update.
        indexes = [models.Index(fields=["day"], name="billing_usage_day")]
        constraints = [models.UniqueConstraint(fields=["account", "day"], name="billing_usage_account_day")]

    def __str__(self) -> str:
        return f"{self.account} {self.day}: {self.count}"
