"""Plans: what customers can pay for."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.actors import Actor
from basekv.console import fields, finding
from basekv.console.buttons import Asking, Button, Data, Done
from basekv.console.page import Page
from basekv.console.templatetags.console import count, mib, money
from billing import plans
from billing.models import Plan
from billing.plans import LARGEST, LARGEST_STORAGE_MB, LIMITS
from instances import limits_change


class Limits(Asking):
    """A limit that is left empty is no limit."""

    max_databases = fields.number(
        "Databases", required=False, min_value=0, max_value=LARGEST, help_text="Empty: no limit."
    )
    max_storage_mb = fields.number(
        "Storage of each database, MiB",
        required=False,
        min_value=1,
        max_value=LARGEST_STORAGE_MB,
        help_text="Empty: its node's default.",
    )
    max_requests_per_day = fields.number(
        "Requests a day", required=False, min_value=0, max_value=LARGEST, help_text="Empty: no limit."
    )

    def prepare(self) -> None:
        if self.subject:
            self.initial = plans.limits_of(self.subject)


class Price(Asking):
    name = fields.text("Name", max_length=100)
    price_cents = fields.number("Price a month, cents", min_value=0, max_value=LARGEST, initial=0)

    def prepare(self) -> None:
        if self.subject:
            self.initial = {"name": self.subject.name, "price_cents": self.subject.price_cents}


class NewPlan(Limits, Price):
    slug = fields.text("Slug", max_length=50, help_text="Its identity in the API and the commands; it stays.")
    field_order = ["slug", "name", "price_cents", *LIMITS]


def limits_in(data: Data) -> dict[str, int | None]:
    return {name: data[name] for name in LIMITS}


def set_limits(plan: Plan, by: Actor, data: Data) -> Done:
    plans.set_limits(plan.pk, limits_in(data), by=by)
    return Done(f"{plan} has other limits.")


def set_price(plan: Plan, by: Actor, data: Data) -> Done:
    plans.set_price(plan, name=data["name"], price_cents=data["price_cents"], by=by)
    return Done(f"{data['name']} costs {money(data['price_cents'])} a month.")


def add(_: None, by: Actor, data: Data) -> Done:
    plan = plans.add(data["slug"], limits_in(data), name=data["name"], price_cents=data["price_cents"], by=by)
    return Done(f"{plan} is a plan: accounts can be opened on it.", goto=plan)


PLAN_BUTTONS = [
    Button(
        name="limits",
        label="Change limits",
        icon="tune",
        permission="billing.change_plan",
        do=set_limits,
        form=Limits,
        tells=lambda plan, data: limits_change.preview(plan, limits_in(data)),
        previews=True,
    ),
    Button(
        name="price",
        label="Change name and price",
        icon="sell",
        permission="billing.change_plan",
        do=set_price,
        form=Price,
    ),
]
ADD_PLAN = Button(name="add", label="Add a plan", icon="add", permission="billing.add_plan", do=add, form=NewPlan)


@admin.register(Plan)
class PlanPage(Page):
    list_display = ["name", "slug", "databases", "storage", "requests", "price"]
    search = finding.any_of(finding.by_name(), finding.by_name("slug"))
    fields: list[str] = []
    overview = "console/plan.html"
    buttons = PLAN_BUTTONS
    list_buttons = [ADD_PLAN]

    @admin.display(description="databases", ordering="max_databases")
    def databases(self, plan: Plan) -> str:
        return count(plan.max_databases)

    @admin.display(description="storage of each", ordering="max_storage_mb")
    def storage(self, plan: Plan) -> str:
        return mib(plan.max_storage_mb) if plan.max_storage_mb else "the node's default"

    @admin.display(description="requests a day", ordering="max_requests_per_day")
    def requests(self, plan: Plan) -> str:
        return count(plan.max_requests_per_day)

    @admin.display(description="price a month", ordering="price_cents")
    def price(self, plan: Plan) -> str:
        return money(plan.price_cents)

    def about(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {"plan": obj, "number": obj.subscriptions.filter(ended_at=None).count()}
