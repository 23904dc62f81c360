"""Words and numbers as people read them."""

import re
from typing import Any

from django import template
from django.db.models import Model
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from basekv.console import labels, page

register = template.Library()
KIB = 1024


@register.filter
def label(state: Any) -> SafeString:
    return labels.label(state)


@register.filter
def commands(text: str) -> SafeString:
    """`commands` in a sentence look like what they are."""
    return mark_safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text).replace("&#x60;", "`")))  # noqa: S308


@register.filter
def address(obj: Model) -> str:
    return page.address(obj)


@register.filter
def mib(number: float | str | None) -> str:
    """Of MiB: in GiB from ten of them on. A template gives an empty text for what a node did not report."""
    if number is None or isinstance(number, str):
        return "–"
    return f"{number / KIB:,.1f} GiB" if number >= 10 * KIB else f"{number:,.0f} MiB"


@register.filter
def size(number: float | str | None) -> str:
    """Of bytes."""
    if number is None or isinstance(number, str):
        return "–"
    for unit in ("B", "KiB", "MiB"):
        if number < KIB:
            return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
        number /= KIB
    return f"{number:,.1f} GiB"


@register.filter
def count(number: int | None) -> str:
    return "unlimited" if number is None else f"{number:,}"


@register.filter
def percent(share: float | None) -> str:
    return "–" if share is None else f"{share * 100:.0f} %"


@register.filter
def money(cents: int) -> str:
    return f"{cents / 100:,.2f}"
