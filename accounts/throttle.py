"""How often somebody may be wrong at the console's door. What is counted is the audit trail itself.

Counted are the failures of one email from one address, so that nobody is kept out by what others do elsewhere; and all
failures from one address, so that nobody tries one password on everybody. An IPv6 client has a whole /64 to itself,
which counts as one address.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_network

from django.db import connection, transaction
from django.utils import timezone

from accounts.actors import Actor
from accounts.errors import SignInRefused

WINDOW = timedelta(minutes=15)
FAILURES_OF_ONE, FAILURES_OF_ALL = 5, 50

SIGNED_IN, FAILED, CODE_REFUSED = "user.sign_in", "user.sign_in_failed", "user.code_refused"

# Those of one email count anew after it got in.
COUNT = """
      WITH here AS (
               SELECT id, actor_label, action FROM accounts_auditentry
                WHERE at > %(since)s AND coalesce(address, '::') <<= %(network)s::inet
           ),
           got_in AS (
               SELECT coalesce(max(id), 0) AS id FROM here WHERE actor_label = %(label)s AND action = %(success)s
           )
    SELECT count(*) FILTER (WHERE here.actor_label = %(label)s AND here.id > got_in.id), count(*)
      FROM here, got_in
     WHERE here.action = ANY(%(failures)s)
"""


@contextmanager
def turn(who: Actor) -> Iterator[None]:
    """A transaction in which nobody else of this name and address tries, so that the count is exact. What is tried in
    it and fails is to be recorded, not raised. Raises SignInRefused."""
    network = network_of(who)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"{who.label} {network}"])
        if not cursor.fetchone()[0]:
            raise SignInRefused("Another sign-in with this email is under way. Try again.")
        cursor.execute(
            COUNT,
            {
                "label": who.label,
                "network": network,
                "since": timezone.now() - WINDOW,
                "success": SIGNED_IN,
                "failures": [FAILED, CODE_REFUSED],
            },
        )
        of_one, of_all = cursor.fetchone()
        if of_one >= FAILURES_OF_ONE or of_all >= FAILURES_OF_ALL:
            minutes = WINDOW // timedelta(minutes=1)
            raise SignInRefused(f"Too many failed sign-ins from your address. Try again in {minutes} minutes.")
        yield


def network_of(who: Actor) -> str:
    if who.address is None:
        return "::/128"
    return str(ip_network(f"{who.address}/{64 if ':' in who.address else 32}", strict=False))
