"""Regions: the places that customers can choose."""

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.validators import validate_slug

from accounts.actors import Actor
from basekv.console import fields, finding
from basekv.console.buttons import Asking, Button, Data, Done
from basekv.console.page import Page
from nodes import regions
from nodes.models import Region


class Name(Asking):
    name = fields.text("Name", max_length=100, help_text="As people name it.")

    def prepare(self) -> None:
        if self.subject:
            self.initial = {"name": self.subject.name}


class NewRegion(Name):
    slug = fields.text(
        "Slug", max_length=50, validators=[validate_slug], help_text="Customers' scripts have it: it stays."
    )
    field_order = ["slug", "name"]

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if Region.objects.filter(pk=slug).exists():
            raise ValidationError(f"There is a region {slug!r} already.")
        return slug


def add(_: None, by: Actor, data: Data) -> Done:
    region, _added = regions.add(data["slug"], data["name"], by=by)
    return Done(f"{region.name} is a region. Next: give it a node, with `manage.py enroll_node`.", goto=region)


def rename(region: Region, by: Actor, data: Data) -> Done:
    regions.add(region.slug, data["name"], by=by)
    return Done(f"{region.slug} is named {data['name']}.")


RENAME = Button(name="rename", label="Rename", icon="edit", permission="nodes.change_region", do=rename, form=Name)
ADD_REGION = Button(name="add", label="Add a region", icon="add", permission="nodes.add_region", do=add, form=NewRegion)


@admin.register(Region)
class RegionPage(Page):
    list_display = ["slug", "name"]
    search = finding.any_of(finding.by_name("slug"), finding.by_name())
    fields = ["slug", "name"]
    buttons = [RENAME]
    list_buttons = [ADD_REGION]
