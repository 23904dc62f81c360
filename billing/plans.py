"""Plans and who is on which."""

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.errors import NameTaken
from accounts.models import Account
from billing.errors import BadSlug, NoSuchPlan
from billing.models import Plan, Subscription

LIMITS = ["max_databases", "max_storage_mb", "max_requests_per_day"]

STANDARD = [
    Plan(
        slug="free",
        name="Free",
        max_databases=2,
        max_storage_mb=32,
        max_requests_per_day=1_000,
        price_cents=0,
    ),
    Plan(
        slug="pro",
        name="Pro",
        max_databases=50,
        max_storage_mb=256,
        max_requests_per_day=100_000,
        price_cents=2_900,
    ),
    Plan(slug="unlimited", name="Unlimited", price_cents=19_900),
]


def seed() -> list[Plan]:
    """The standard plans; one that is there already keeps what an operator made of it."""
    Plan.objects.bulk_create(STANDARD, ignore_conflicts=True)
    return list(Plan.objects.all())


def find(slug: str) -> Plan:
    """Raises NoSuchPlan."""
    try:
        return Plan.objects.get(pk=slug)
    except Plan.DoesNotExist:
        known = ", ".join(Plan.objects.values_list("slug", flat=True)) or "none yet; `seed_plans` makes them"
        raise NoSuchPlan(f"There is no plan {slug!r}. The plans are: {known}.") from None


@transaction.atomic
def subscribe(account: Account, plan: Plan) -> Subscription:
    """The account is on this plan from now on; a subscription to another one ends."""
    Account.objects.select_for_update(no_key=True).get(pk=account.pk)
    active = Subscription.objects.filter(account=account, ended_at=None)
    if current := active.filter(plan=plan).first():
        return current
    active.update(ended_at=timezone.now())
    return Subscription.objects.create(account=account, plan=plan)


def open_account(name: str, plan: Plan) -> Account:
    """A new account on this plan. Raises NameTaken."""
    try:
        with transaction.atomic():
            account = Account.objects.create(name=name)
            subscribe(account, plan)
    except IntegrityError:
        raise NameTaken(f"An account is named {name!r} already.") from None
    return account


def set_limits(slug: str, limits: dict[str, int | None]) -> Plan:
    """Changes the limits named, the others stay. A plan that is not there is made when every limit is named.

    Raises NoSuchPlan, BadSlug.
    """
    if limits.keys() >= set(LIMITS):
        check_slug(slug)
        plan, _ = Plan.objects.update_or_create(
            slug=slug, defaults=limits, create_defaults={"name": slug.replace("-", " ").title(), **limits}
        )
        return plan
    plan = find(slug)
    Plan.objects.filter(pk=slug).update(**limits)
    plan.refresh_from_db()
    return plan


def check_slug(slug: str) -> None:
    try:
        validate_slug(slug)
    except ValidationError:
        raise BadSlug(f"{slug!r} cannot name a plan: take letters, digits, hyphens and underscores.") from None
