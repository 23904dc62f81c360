"""Searching lists by what is indexed: the beginning of a name, the beginning of an id, and those of what it belongs to.

Whatever a word may match in another table is looked up first, so that the list itself is searched by its own columns.
"""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Model, Q

# Of each table that a word may lead through: more would be no search any more.
MOST = 200
HEXADECIMAL = re.compile(r"[0-9a-f]{6,32}")
NOTHING = Q(pk__in=[])


@dataclass(frozen=True, slots=True)
class Search:
    where: Callable[[str], Q]


def any_of(*searches: Search) -> Search:
    def where(word: str) -> Q:
        found = NOTHING
        for search in searches:
            found |= search.where(word)
        return found

    return Search(where)


def by_name(field: str = "name") -> Search:
    """What begins with it, in upper or lower case. Wants an index on UPPER(field) with text_pattern_ops."""
    return Search(lambda word: Q(**{f"{field}__istartswith": word}))


def beginning(field: str) -> Search:
    """What begins with exactly this. Wants an index with varchar_pattern_ops, which Django gives unique texts."""
    return Search(lambda word: Q(**{f"{field}__startswith": word}))


def exactly(field: str) -> Search:
    return Search(lambda word: Q(**{field: word}))


def by_id(field: str = "id") -> Search:
    """A UUID or its beginning, from 6 digits on."""

    def where(word: str) -> Q:
        digits = word.lower().replace("-", "")
        if not HEXADECIMAL.fullmatch(digits):
            return NOTHING
        first, last = (uuid.UUID(digits.ljust(32, filler)) for filler in "0f")
        return Q(**{f"{field}__gte": first, f"{field}__lte": last})

    return Search(where)


def through(field: str, model: type[Model], search: Search) -> Search:
    """What belongs to a row of another table that is found."""

    def where(word: str) -> Q:
        rows = model._default_manager.filter(search.where(word)).values_list("pk", flat=True)
        return Q(**{f"{field}__in": list(rows[:MOST])})

    return Search(where)
