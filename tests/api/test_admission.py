"""Who is it, may it, count it: exact at any number of callers."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts import tokens
from billing.models import Subscription, Usage
from tests import factories
from tests.concurrency import at_once

WHOAMI = "/api/v1/whoami"


def admitted_at(secret: str, now: datetime) -> dict:
    presented = tokens.parse(secret)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT outcome, used, usage_day, seconds_left FROM billing_admit(%s, %s, NULL, true, %s)",
            [presented.prefix, presented.digest, now],
        )
        return dict(zip(["outcome", "used", "day", "left"], cursor.fetchone(), strict=True))


@pytest.mark.django_db(transaction=True)
def test_of_sixty_requests_at_once_a_limit_of_25_admits_25():
    customer = factories.customer(requests=25)
    answers = at_once([lambda: factories.client(customer.secret).get(WHOAMI).status_code] * 60)
    assert Counter(answers) == {200: 25, 429: 35}
    assert Usage.objects.get(account=customer.account).count == 25


@pytest.mark.django_db(transaction=True)
def test_without_a_limit_every_request_is_counted_and_none_is_lost():
    customer = factories.customer(requests=None)
    counts = at_once([lambda: factories.client(customer.secret).get(WHOAMI).json()["usage"]["current_count"]] * 40)
    assert sorted(counts) == list(range(1, 41))


@pytest.mark.django_db
def test_the_refused_request_says_when_to_come_back():
    customer = factories.customer(requests=1)
    assert customer.client.get(WHOAMI)["RateLimit"].startswith('"daily";r=0;t=')
    refused = customer.client.get(WHOAMI)
    left = int(refused["Retry-After"])
    until_midnight = 86_400 - (timezone.now() - timezone.now().replace(hour=0, minute=0, second=0)).total_seconds()
    assert refused.status_code == 429
    assert abs(left - until_midnight) < 5
    assert refused["RateLimit-Policy"] == '"daily";q=1;w=86400'
    assert refused.json()["code"] == "daily_quota_exceeded"
    assert refused.json()["usage"] == {
        "current_count": 1,
        "limit_count": 1,
        "usage_date": f"{timezone.now():%Y-%m-%d}",
    }


@pytest.mark.django_db
def test_a_limit_of_zero_admits_nobody():
    assert factories.customer(requests=0).client.get(WHOAMI).status_code == 429


@pytest.mark.django_db
def test_the_count_starts_anew_at_midnight_utc():
    secret = factories.customer(requests=1).secret
    before = datetime(2030, 1, 31, 23, 59, 59, tzinfo=UTC)
    assert admitted_at(secret, before) | {"used": 1} == {
        "outcome": "admitted", "used": 1, "day": before.date(), "left": 1,
    }  # fmt: skip
    assert admitted_at(secret, before)["outcome"] == "quota"
    after = admitted_at(secret, before + timedelta(seconds=1))
    assert after == {"outcome": "admitted", "used": 1, "day": datetime(2030, 2, 1, tzinfo=UTC).date(), "left": 86_400}


@pytest.mark.django_db
def test_a_day_is_a_utc_day_whatever_zone_the_database_session_has():
    secret = factories.customer(requests=1).secret
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TIME ZONE 'Asia/Tokyo'")
    evening = datetime(2030, 1, 31, 20, tzinfo=UTC)
    assert str(admitted_at(secret, evening)["day"]) == "2030-01-31"


@pytest.mark.django_db
def test_a_larger_plan_holds_from_the_next_request_on_and_keeps_the_count():
    customer = factories.customer(requests=1)
    assert [customer.client.get(WHOAMI).status_code for _ in range(2)] == [200, 429]
    customer.plan.max_requests_per_day = 3
    customer.plan.save()
    answers = [customer.client.get(WHOAMI) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[1].json()["usage"]["current_count"] == 3


@pytest.mark.django_db
def test_a_smaller_plan_refuses_what_is_above_it_already():
    customer = factories.customer(requests=10)
    for _ in range(3):
        customer.client.get(WHOAMI)
    customer.plan.max_requests_per_day = 2
    customer.plan.save()
    refused = customer.client.get(WHOAMI)
    assert (refused.status_code, refused.json()["usage"]["current_count"]) == (429, 3)


@pytest.mark.django_db
def test_the_three_credentials_operations_are_neither_counted_nor_refused():
    factories.node()
    customer = factories.customer(requests=1)
    created = customer.client.post("/api/v1/instances", {"name": "hello"}, content_type="application/json").json()
    path = f"/api/v1/instances/{created['id']}/credentials"
    assert customer.client.get(path).status_code == 200
    assert customer.client.post(f"{path}/reveal").status_code == 200
    assert customer.client.post(f"{path}/rotate").status_code == 409  # pending: a rotation needs a running one
    assert Usage.objects.get(account=customer.account).count == 1


@pytest.mark.django_db
def test_what_is_refused_for_who_asks_is_not_counted_and_what_is_wrong_is():
    customer = factories.customer(requests=10, scopes=["db.instances.read"])
    customer.client.post("/api/v1/instances", {"name": "hello"}, content_type="application/json")
    assert not Usage.objects.filter(account=customer.account).exists()
    assert customer.client.get("/api/v1/instances/nonsense").status_code == 400
    assert Usage.objects.get(account=customer.account).count == 1


@pytest.mark.django_db
def test_the_tokens_last_use_is_written_once_a_minute():
    customer = factories.customer()
    customer.client.get(WHOAMI)
    customer.token.refresh_from_db()
    first = customer.token.last_used_at
    assert abs(timezone.now() - first) < timedelta(seconds=5)
    customer.client.get(WHOAMI)
    customer.token.refresh_from_db()
    assert customer.token.last_used_at == first
    admitted_at(customer.secret, timezone.now() + timedelta(minutes=2))
    customer.token.refresh_from_db()
    assert customer.token.last_used_at > first


@pytest.mark.django_db(transaction=True)
def test_a_locked_token_row_does_not_hold_up_its_requests():
    from django.db import transaction

    customer = factories.customer()

    with transaction.atomic():
        type(customer.token).objects.select_for_update().get(pk=customer.token.pk)
        assert at_once([lambda: factories.client(customer.secret).get(WHOAMI).status_code]) == [200]


@pytest.mark.django_db
def test_an_ended_subscription_is_none():
    customer = factories.customer()
    Subscription.objects.filter(account=customer.account).update(ended_at=timezone.now())
    refused = customer.client.get(WHOAMI)
    assert (refused.status_code, refused.json()["code"]) == (403, "no_active_subscription")
