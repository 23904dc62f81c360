"""Orphans: what nodes have and nobody wants."""

from django.contrib import admin

from basekv.console import finding, searches
from basekv.console.page import Page
from instances.models import Orphan
from nodes.models import Node


@admin.register(Orphan)
class OrphanPage(Page):
    list_display = ["instance_id", "node", "found_at", "quarantined_at", "erased_at"]
    list_select_related = ["node"]
    list_without = ["node__report"]
    ordering = ["-found_at"]
    narrows_by = frozenset({"erased_at__isnull"})
    search = finding.any_of(finding.by_id("instance_id"), finding.through("node_id", Node, searches.of_node))
    search_help_text = "The beginning of an id or of a node's name."
    fields = ["instance_id", "node", "generation", "found_at", "quarantined_at", "erased_at"]
