"""What other limits of a plan mean for those who are on it, said before they are set."""

from collections.abc import Callable, Sequence

from django.db.models import Count, QuerySet
from django.utils import timezone

from accounts.models import Account
from billing.models import Plan, Usage
from instances.models import Instance
from instances.states import Status

# Those that are over a limit are counted, and these named.
NAMED = 5


def preview(plan: Plan, limits: dict[str, int | None]) -> list[str]:
    """Sentences for whoever is about to call `billing.plans.set_limits`. As many queries for one account as for all."""
    changed = {name: limit for name, limit in limits.items() if limit != getattr(plan, name)}
    if not changed:
        return ["These are its limits already: nothing changes."]
    number = on_it(plan).count()
    return [
        f"Accounts on {plan}: {number:,}. The new limits are theirs from the next request on.",
        *(TELLS[name](plan, limit) for name, limit in changed.items()),
    ]


def databases(plan: Plan, limit: int | None) -> str:
    change = f"Databases: from {shown(plan.max_databases)} to {shown(limit)}."
    if limit is None:
        return change
    counted = databases_of(plan).order_by().values("account__name").annotate(number=Count("pk"))
    over = counted.filter(number__gt=limit).order_by("-number", "account__name")
    number = over.count()
    if not number:
        return f"{change} No account has more."
    names = named([f"{row['account__name']}: {row['number']:,}" for row in over[:NAMED]], number)
    until = f" until they have fewer than {limit:,}" if limit else ""
    kept = f"Nothing is deleted; they get no new database{until}."
    return f"{change} Accounts that have more: {number:,} ({names}). {kept}"


def storage(plan: Plan, limit: int | None) -> str:
    before, after = (f"{size:,} MiB" if size else "its node's default" for size in (plan.max_storage_mb, limit))
    change = f"Storage of each database: from {before} to {after}, for new databases; those that are there keep theirs."
    if limit is None:
        return change
    larger = databases_of(plan).filter(storage_mb__gt=limit)
    found = larger.aggregate(databases=Count("pk"), accounts=Count("account", distinct=True))
    return f"{change} Larger than that: {found['databases']:,} (accounts: {found['accounts']:,})."


def requests(plan: Plan, limit: int | None) -> str:
    change = f"Requests a day: from {shown(plan.max_requests_per_day)} to {shown(limit)}."
    if limit is None:
        return change
    used_up = Usage.objects.filter(account__in=on_it(plan), day=timezone.now().date(), count__gte=limit).count()
    return f"{change} Accounts that made as many today: {used_up:,}. More are refused until 00:00 UTC."


TELLS: dict[str, Callable[[Plan, int | None], str]] = {
    "max_databases": databases,
    "max_storage_mb": storage,
    "max_requests_per_day": requests,
}


def on_it(plan: Plan) -> QuerySet[Account]:
    return Account.objects.filter(subscriptions__plan=plan, subscriptions__ended_at=None)


def databases_of(plan: Plan) -> QuerySet[Instance]:
    return Instance.objects.filter(account__in=on_it(plan)).exclude(status=Status.DELETED)


def shown(limit: int | None) -> str:
    return "unlimited" if limit is None else f"{limit:,}"


def named(names: Sequence[str], number: int) -> str:
    return ", ".join(names) + (" …" if number > len(names) else "")
