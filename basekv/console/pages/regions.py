"""Regions: the places that customers can choose."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from basekv.console import finding
from basekv.console.page import Page
from nodes.models import Region


@admin.register(Region)
class RegionPage(Page):
    list_display = ["slug", "name"]
    search = finding.any_of(finding.by_name("slug"), finding.by_name())

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("nodes.add_region")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("nodes.change_region")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["slug"] if obj else []  # customers' scripts have it
