"""PostgreSQL's clock, the one that all processes share: theirs may differ, and jump."""

from datetime import datetime, timedelta

from django.db import connection
from django.db.models import DateTimeField, Func, Q


class Now(Func):
    """The moment in which a row is written or looked at."""

    function = "clock_timestamp"
    output_field = DateTimeField()


def now() -> datetime:
    """One query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
        return moment


def passed(field: str, longest: timedelta) -> Q:
    """Whether the time in this field has come. One that lies further ahead than `longest`, the furthest that we ever
    set, was written before the clock was put back: nobody should wait for it."""
    return Q(**{f"{field}__lte": Now()}) | Q(**{f"{field}__gt": Now() + longest})
