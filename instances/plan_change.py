"""What a change of plan means for an account's databases and requests, said before it is done."""

from collections.abc import Iterator

from django.utils import timezone

from accounts.models import Account
from billing.models import Plan, Subscription, Usage
from instances import lifecycle


def preview(account: Account, plan: Plan) -> list[str]:
    """Sentences for whoever is about to call `billing.plans.subscribe`."""
    active = Subscription.objects.filter(account=account, ended_at=None).select_related("plan").first()
    if active and active.plan == plan:
        return [f"{account} is on {plan} already: nothing changes."]
    came_from = active.plan if active else None
    return [
        *price(came_from, plan),
        databases(account, plan),
        storage(plan),
        requests(account, plan),
    ]


def price(before: Plan | None, after: Plan) -> Iterator[str]:
    if before is None:
        yield f"There is no active subscription: the API is opened to {after}, {money(after)} a month."
    elif before.price_cents != after.price_cents:
        yield f"The price a month goes from {money(before)} to {money(after)}."


def money(plan: Plan) -> str:
    return f"{plan.price_cents / 100:.2f}"


def databases(account: Account, plan: Plan) -> str:
    number = lifecycle.owned_by(account.pk).count()
    has = f"It has {number} {'database' if number == 1 else 'databases'}"
    if plan.max_databases is None:
        return f"{has}, and may have as many as it likes."
    if number > plan.max_databases:
        return f"{has}, and {plan} allows {plan.max_databases}: those that are there stay, new ones are refused."
    return f"{has} of the {plan.max_databases} that {plan} allows."


def storage(plan: Plan) -> str:
    size = f"{plan.max_storage_mb} MiB" if plan.max_storage_mb else "its node's default size"
    return f"A new database gets {size}; those that are there keep theirs."


def requests(account: Account, plan: Plan) -> str:
    used = Usage.objects.filter(account=account, day=timezone.now().date()).values_list("count", flat=True).first() or 0
    limit = plan.max_requests_per_day
    if limit is None:
        return "Requests a day are counted, without a limit."
    if used >= limit:
        return f"Requests made today: {used:,}, and {plan} allows {limit:,}: more are refused until 00:00 UTC."
    return f"Requests made today: {used:,}, of the {limit:,} that {plan} allows."
