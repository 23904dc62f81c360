"""Searching lists by what is indexed: the beginning of a name, the beginning of an id, and those of what it belongs to.

Whatever a word may match in another table is looked up first, so that the list itself is searched by its own columns.
"""

import re
import uuid
from collections.abc import Callable

from django.db.models import Model, Q

Search = Callable[[str], Q]

# Of each table that a word may lead through: more would be no search any more.
MOST = 200
HEXADECIMAL = re.compile(r"[0-9a-f]{6,32}")


def any_of(*searches: Search) -> Search:
    def search(term: str) -> Q:
        found = Q(pk__in=[])
        for one in searches:
            found |= one(term)
        return found

    return search


def by_name(field: str = "name") -> Search:
    """What begins with it, in upper or lower case. Wants an index on UPPER(field) with text_pattern_ops."""
    return lambda term: Q(**{f"{field}__istartswith": term})


def beginning(field: str) -> Search:
    """What begins with exactly this. Wants an index with text_pattern_ops, which Django gives unique texts."""
    return lambda term: Q(**{f"{field}__startswith": term})


def exactly(field: str) -> Search:
    return lambda term: Q(**{field: term})


def by_id(field: str = "id") -> Search:
    """A UUID or its beginning, from 6 digits on."""

    def search(term: str) -> Q:
        digits = term.lower().replace("-", "")
        if not HEXADECIMAL.fullmatch(digits):
            return Q(pk__in=[])
        first, last = (uuid.UUID(digits.ljust(32, filler)) for filler in "0f")
        return Q(**{f"{field}__gte": first, f"{field}__lte": last})

    return search


def through(field: str, model: type[Model], search: Search) -> Search:
    """What belongs to a row of another table that is found."""

    def find(term: str) -> Q:
        rows = model._default_manager.filter(search(term)).values_list("pk", flat=True)
        return Q(**{f"{field}__in": list(rows[:MOST])})

    return find
