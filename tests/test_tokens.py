"""Tokens: found by scanners, refused as typos without a query, kept only as digests."""

import json
import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts import registry, tokens
from accounts.actors import SYSTEM
from accounts.errors import ServiceAccountDisabled, UnknownScope
from accounts.models import ServiceAccount, Token
from tests import factories

WHOAMI = "/api/v1/whoami"


@pytest.mark.django_db
def test_a_token_has_a_form_that_a_scanner_finds():
    assert re.fullmatch(r"bkv_[0-9A-Za-z]{46}", factories.customer().secret)


@pytest.mark.django_db
def test_a_typo_is_refused_without_asking_the_database(django_assert_num_queries):
    customer = factories.customer()
    wrong = customer.secret[:20] + ("a" if customer.secret[20] != "a" else "b") + customer.secret[21:]
    with django_assert_num_queries(0):
        assert factories.client(wrong).get(WHOAMI).status_code == 401


@pytest.mark.django_db
def test_another_secret_with_the_right_prefix_and_checksum_is_refused():
    prefix = factories.customer().token.prefix
    body = prefix + "0" * 32
    assert factories.client(body + tokens.checksum(body)).get(WHOAMI).status_code == 401


@pytest.mark.django_db
def test_the_secret_is_nowhere_in_the_database():
    customer = factories.customer()
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM accounts_token t")
        row = cursor.fetchone()[0]
    assert customer.token.prefix in row
    assert customer.secret[12:] not in row


@pytest.mark.django_db
def test_a_revoked_token_is_refused_from_the_next_request_on():
    customer = factories.customer()
    assert customer.client.get(WHOAMI).status_code == 200
    call_command("revoke_token", customer.token.prefix, stdout=StringIO())
    assert customer.client.get(WHOAMI).status_code == 401


@pytest.mark.django_db
def test_whoami_tells_who_it_is():
    customer = factories.customer(scopes=["db.instances.read"])
    answer = customer.client.get(WHOAMI).json()
    assert answer["account_id"] == str(customer.account.pk)
    assert answer["service_account_id"] == str(customer.token.service_account_id)
    assert answer["token_id"] == str(customer.token.pk)
    assert answer["token_prefix"] == customer.secret[:12]
    assert answer["scopes"] == ["db.instances.read"]
    assert answer["plan"]["id"] == customer.plan.slug


@pytest.mark.django_db
def test_a_disabled_service_account_is_issued_none():
    customer = factories.customer()
    stale = ServiceAccount.objects.get(account=customer.account)
    registry.disable(customer.token.service_account, by=SYSTEM)
    with pytest.raises(ServiceAccountDisabled, match="agent is disabled"):
        tokens.issue(stale, scopes=[], by=SYSTEM)
    with pytest.raises(CommandError, match="Enable it first"):
        call_command("issue_token", customer.account.name, "--service-account=agent", "--scope=db.instances.read")
    assert Token.objects.count() == 1
    registry.enable(customer.token.service_account, by=SYSTEM)
    assert factories.client(tokens.issue(stale, scopes=[], by=SYSTEM)[1]).get(WHOAMI).status_code == 200


@pytest.mark.django_db
def test_a_token_that_cannot_be_issued_leaves_no_service_account_behind():
    account = factories.customer().account
    with pytest.raises(UnknownScope):
        tokens.issue_for(account, "new", scopes=["everything"], by=SYSTEM)
    assert list(account.service_accounts.values_list("name", flat=True)) == ["agent"]


@pytest.mark.django_db
class TestIssueToken:
    def issue(self, *args):
        out = StringIO()
        call_command("issue_token", *args, stdout=out, stderr=StringIO())
        return out.getvalue().strip()

    def test_prints_the_token_alone_so_that_a_shell_can_take_it(self):
        account = factories.customer().account
        token = self.issue(account.name, "--service-account", "ci", "--scope", "db.instances.read")
        assert factories.client(token).get(WHOAMI).status_code == 200

    def test_as_json_tells_more(self):
        account = factories.customer().account
        answer = json.loads(
            self.issue(
                str(account.pk), "--service-account=ci", "--scope=db.instances.read", "--expires-in-days=1", "--json"
            )
        )
        assert factories.client(answer["token"]).get(WHOAMI).json()["token_id"] == answer["id"]
        assert answer["expires_at"]

    @pytest.mark.parametrize(
        "args, problem",
        [
            (["nobody", "--service-account=x", "--scope=db.instances.read"], "create_account"),
            (["{account}", "--service-account=x", "--scope=db.everything"], "db.instances.write"),
            (["{account}", "--service-account=x", "--scope=db.instances.read", "--expires-in-days=0"], "from 1"),
        ],
    )
    def test_says_what_to_do_about_a_mistake(self, args, problem):
        account = factories.customer().account
        before = Token.objects.count()
        with pytest.raises(CommandError, match=problem):
            self.issue(*[arg.format(account=account.name) for arg in args])
        assert Token.objects.count() == before
