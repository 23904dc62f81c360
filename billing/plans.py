"""Plans and who is on which."""

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import audit
from accounts.actors import Actor
from accounts.errors import NameTaken
from accounts.models import Account
from billing.errors import BadSlug, NoSuchPlan
from billing.models import Plan, Subscription

LIMITS = ["max_databases", "max_storage_mb", "max_requests_per_day"]
LARGEST_STORAGE_MB = 2**20  # the agent takes no more
LARGEST = 2_147_483_647  # PostgreSQL's integer

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


@transaction.atomic
def seed(*, by: Actor) -> list[Plan]:
    """The standard plans; one that is there already keeps what an operator made of it."""
    known = set(Plan.objects.values_list("pk", flat=True))
    Plan.objects.bulk_create(STANDARD, ignore_conflicts=True)
    for plan in STANDARD:
        if plan.pk not in known:
            audit.record(actor=by, action="plan.create", subject=plan, after=limits_of(plan))
    return list(Plan.objects.all())


def find(slug: str) -> Plan:
    """Raises NoSuchPlan."""
    try:
        return Plan.objects.get(pk=slug)
    except Plan.DoesNotExist:
        known = ", ".join(Plan.objects.values_list("slug", flat=True)) or "none yet; `seed_plans` makes them"
        raise NoSuchPlan(f"There is no plan {slug!r}. The plans are: {known}.") from None


@transaction.atomic
def subscribe(account: Account, plan: Plan, *, by: Actor) -> Subscription:
    """The account is on this plan from now on; a subscription to another one ends."""
    Account.objects.select_for_update(no_key=True).get(pk=account.pk)
    active = Subscription.objects.filter(account=account, ended_at=None)
    current = active.first()
    if current and current.plan_id == plan.pk:
        return current
    active.update(ended_at=timezone.now())
    subscription = Subscription.objects.create(account=account, plan=plan)
    audit.record(
        actor=by,
        action="account.subscribe",
        subject=account,
        account=account,
        before={"plan": current.plan_id if current else None},
        after={"plan": plan.pk},
    )
    return subscription


@transaction.atomic
def unsubscribe(account: Account, *, by: Actor) -> bool:
    """The API refuses the account's tokens (403) from the next request on. False: there was nothing to end."""
    Account.objects.select_for_update(no_key=True).get(pk=account.pk)
    active = Subscription.objects.filter(account=account, ended_at=None)
    current = active.first()
    if current is None:
        return False
    active.update(ended_at=timezone.now())
    audit.record(
        actor=by, action="account.unsubscribe", subject=account, account=account, before={"plan": current.plan_id}
    )
    return True


def open_account(name: str, plan: Plan, *, by: Actor) -> Account:
    """A new account on this plan. Raises NameTaken."""
    try:
        with transaction.atomic():
            account = Account.objects.create(name=name)
            audit.record(actor=by, action="account.create", subject=account, account=account, after={"name": name})
            subscribe(account, plan, by=by)
    except IntegrityError:
        raise NameTaken(f"An account is named {name!r} already.") from None
    return account


@transaction.atomic
def add(slug: str, limits: dict[str, int | None], *, name: str, price_cents: int = 0, by: Actor) -> Plan:
    """A new plan. Raises BadSlug, NameTaken."""
    check_slug(slug)
    terms = {"name": name, "price_cents": price_cents, **limits}
    plan, added = Plan.objects.get_or_create(slug=slug, defaults=terms)
    if not added:
        raise NameTaken(f"There is a plan {slug!r} already.")
    audit.record(actor=by, action="plan.create", subject=plan, after=terms)
    return plan


@transaction.atomic
def set_limits(slug: str, limits: dict[str, int | None], *, by: Actor) -> Plan:
    """Changes the limits named, the others stay. A plan that is not there is made when every limit is named.

    Raises NoSuchPlan, BadSlug.
    """
    known = Plan.objects.select_for_update().filter(pk=slug).first()
    if known is None and limits.keys() >= set(LIMITS):
        return add(slug, limits, name=slug.replace("-", " ").title(), by=by)
    before = limits_of(known or find(slug))
    Plan.objects.filter(pk=slug).update(**limits)
    plan = find(slug)
    audit.record(actor=by, action="plan.change", subject=plan, before=before, after=limits_of(plan))
    return plan


@transaction.atomic
def set_price(plan: Plan, *, name: str, price_cents: int, by: Actor) -> None:
    """What it is called and what it costs, from now on."""
    before = Plan.objects.select_for_update().values("name", "price_cents").get(pk=plan.pk)
    after = {"name": name, "price_cents": price_cents}
    Plan.objects.filter(pk=plan.pk).update(**after)
    audit.record(actor=by, action="plan.change", subject=plan, before=before, after=after)


def limits_of(plan: Plan) -> dict[str, int | None]:
    return {name: getattr(plan, name) for name in LIMITS}


def check_slug(slug: str) -> None:
    try:
        validate_slug(slug)
    except ValidationError:
        raise BadSlug(f"{slug!r} cannot name a plan: take letters, digits, hyphens and underscores.") from None
