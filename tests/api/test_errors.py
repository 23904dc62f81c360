"""Whatever is sent, the answer is JSON with a sentence and a code."""

import base64
import re
import uuid

import pytest
from django.db import OperationalError
from django.test import Client

from tests import factories

pytestmark = pytest.mark.django_db
CREATE = "/api/v1/instances"


@pytest.fixture
def client():
    factories.node(region="eu-west")
    return factories.customer().client


def refused(answer, status, code):
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.content
    assert answer["Content-Type"].startswith("application/json")
    assert 10 < len(answer.json()["error"]) < 400
    assert answer["X-Request-Id"]


BODIES = {
    "nothing": (b"", "invalid_input"),
    "cut off": (b'{"name": "ab"', "malformed_body"),
    "no JSON": (b"name=ab", "malformed_body"),
    "bad UTF-8": (b'{"name": "a\xff\xfeb"}', "malformed_body"),
    "UTF-16": ('{"name": "ab"}'.encode("utf-16"), "malformed_body"),
    "a lone surrogate": (b'{"name": "a\\ud800b"}', "malformed_body"),
    "NaN": (b'{"name": NaN}', "malformed_body"),
    "deep": (b"[" * 30_000 + b"]" * 30_000, "malformed_body"),
    "deep in a field": (b'{"name": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001, "malformed_body"),
    "a list": (b'[{"name": "ab"}]', "invalid_input"),
    "a text": (b'"name"', "invalid_input"),
    "a number": (b"1", "invalid_input"),
    "a huge number": (b"1" * 400, "malformed_body"),
    "null": (b"null", "invalid_input"),
    "no name": (b"{}", "invalid_input"),
    "name null": (b'{"name": null}', "invalid_input"),
    "name a number": (b'{"name": 12345}', "invalid_input"),
    "name a huge number": (b'{"name": 1e400}', None),
    "name a bool": (b'{"name": true}', "invalid_input"),
    "name a list": (b'{"name": ["ab"]}', "invalid_input"),
    "name short": (b'{"name": "a"}', "invalid_input"),
    "name short when trimmed": (b'{"name": "  a   "}', "invalid_input"),
    "name blank": (b'{"name": "     "}', "invalid_input"),
    "name long": (b'{"name": "' + b"a" * 101 + b'"}', "invalid_input"),
    "name with NUL": (b'{"name": "a\\u0000b"}', "invalid_input"),
    "name with a newline": (b'{"name": "a\\nb"}', "invalid_input"),
    "name with DEL": (b'{"name": "a\\u007fb"}', "invalid_input"),
    "name with a C1 control": (b'{"name": "a\\u0085b"}', "invalid_input"),
    "unknown region": (b'{"name": "ab", "region": "mars"}', "invalid_input"),
    "region a number": (b'{"name": "ab", "region": 7}', "invalid_input"),
    "region with NUL": (b'{"name": "ab", "region": "a\\u0000"}', "invalid_input"),
    "unknown protocol": (b'{"name": "ab", "protocol": "mongo"}', "invalid_input"),
    "protocol a list": (b'{"name": "ab", "protocol": ["redis"]}', "invalid_input"),
    "protocol null": (b'{"name": "ab", "protocol": null}', "invalid_input"),
    "unknown log level": (b'{"name": "ab", "log_level": "loud"}', "invalid_input"),
    "log level in capitals": (b'{"name": "ab", "log_level": "INFO"}', "invalid_input"),
    "log level an object": (b'{"name": "ab", "log_level": {}}', "invalid_input"),
}


@pytest.mark.parametrize("body, code", BODIES.values(), ids=BODIES.keys())
def test_a_bad_body_is_a_400(client, body, code):
    answer = client.post(CREATE, body, content_type="application/json")
    refused(answer, 400, code or answer.json()["code"])
    if answer.json()["code"] == "invalid_input":
        assert all(isinstance(problem, str) for problems in answer.json()["fields"].values() for problem in problems)


def test_an_unknown_region_is_told_the_known_ones(client):
    answer = client.post(CREATE, {"name": "ab", "region": "mars"}, content_type="application/json")
    assert "eu-west" in answer.json()["fields"]["region"][0]


@pytest.mark.parametrize("name", ["ab", "a" * 100, "  trimmed  ", "naïve 数据库 🗝", "null", "-1", "'; --", "<b>x</b>"])
def test_a_good_name_is_kept_as_it_is(client, name):
    answer = client.post(CREATE, {"name": name, "colour": "is passed over"}, content_type="application/json")
    assert (answer.status_code, answer.json()["name"]) == (201, name.strip())


def test_a_body_of_more_than_64_kib_is_a_413(client):
    body = b'{"name": "ab", "x": "' + b"x" * 70_000 + b'"}'
    refused(client.post(CREATE, body, content_type="application/json"), 413, "body_too_large")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "",
        "nonsense",
    ],
)
def test_a_body_that_is_not_called_json_is_a_415(client, content_type):
    answer = client.generic("POST", CREATE, b'{"name": "ab"}', content_type=content_type)
    refused(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*"])
def test_an_answer_that_is_not_json_is_not_to_be_had(client, accept):
    refused(client.get("/api/v1/whoami", headers={"Accept": accept}), 406, "not_acceptable")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/*", "text/html, */*;q=0.1"])
def test_whoever_takes_json_gets_it(client, accept):
    assert client.get("/api/v1/whoami", headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize(
    "path", ["", "v1", "v1/", "v2/whoami", "v1/whoami/", "v1/instances/", "v1/instances/a/b/c/d", "v1/%00", "v1/%ff"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "BREW"])
def test_an_unknown_path_is_a_404_in_json(client, path, method):
    refused(client.generic(method, f"/api/{path}"), 404, "not_found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "BREW", "POST"])
def test_a_method_that_the_path_does_not_take_is_a_405(client, method):
    answer = client.generic(method, "/api/v1/whoami")
    refused(answer, 405, "method_not_allowed")
    assert answer["Allow"] == "GET, HEAD"


def test_an_exception_of_our_own_is_a_500_with_the_request_id_and_nothing_else(client, monkeypatch, caplog):
    monkeypatch.setattr("instances.lifecycle.owned_by", lambda account_id: 1 / 0)
    answer = client.get("/api/v1/instances", headers={"X-Request-Id": "call-42"})
    refused(answer, 500, "internal_error")
    assert answer.json().keys() == {"error", "code"}
    assert "call-42" in answer.json()["error"]
    assert "ZeroDivisionError" in caplog.text


def test_a_database_that_cannot_be_reached_is_a_503(client, monkeypatch):
    def gone(account_id):
        raise OperationalError("connection to server at 10.0.0.5 failed: secret-host")

    monkeypatch.setattr("instances.lifecycle.owned_by", gone)
    answer = client.get("/api/v1/instances")
    refused(answer, 503, "temporarily_unavailable")
    assert "10.0.0.5" not in answer.content.decode()


@pytest.mark.parametrize("given", ["a b", "é", "x" * 65, "a\r\nSet-Cookie: x"])
def test_a_request_id_that_could_do_harm_is_replaced(client, given):
    assert client.get("/api/v1/whoami", headers={"X-Request-Id": given})["X-Request-Id"] != given


def test_a_harmless_request_id_is_kept(client):
    assert client.get("/api/v1/whoami", headers={"X-Request-Id": "trace-1.2_3"})["X-Request-Id"] == "trace-1.2_3"


@pytest.mark.parametrize("force", ["maybe", "", "2", "yes", "null"])
def test_force_is_true_or_false(client, force):
    id = client.post(CREATE, {"name": "ab"}, content_type="application/json").json()["id"]
    refused(client.delete(f"{CREATE}/{id}?force={force}"), 400, "invalid_input")
    assert client.get(f"{CREATE}/{id}").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=1001",
        "limit=",
        "limit=1.5",
        "limit=٣",
        "cursor=",
        "cursor=x",
        "cursor=AAAA",
        "cursor=%00",
        "cursor=MjAyNi0wMS0wMVQwMDowMDowMCB4",
    ],
)
def test_a_bad_page_is_a_400(client, query):
    refused(client.get(f"{CREATE}?{query}"), 400, "invalid_input")


def test_the_bounds_in_the_document_are_those_that_hold(client):
    paths = client.get("/openapi.json").json()["paths"]
    bounds = {item["name"]: item["schema"] for item in paths[CREATE]["get"]["parameters"]}["limit"]
    smallest, largest = bounds["minimum"], bounds["maximum"]
    statuses = [
        client.get(f"{CREATE}?limit={limit}").status_code for limit in (smallest - 1, smallest, largest, largest + 1)
    ]
    assert statuses == [400, 200, 200, 400]
    [key] = [item["schema"]["pattern"] for item in paths[CREATE]["post"]["parameters"]]
    for value in ("", " ", "~" * 255, "x" * 256, "é", "a\tb"):
        answer = client.post(
            CREATE, {"name": "ab"}, content_type="application/json", headers={"Idempotency-Key": value}
        )
        assert (answer.status_code == 201) == bool(re.search(key, value)), value


@pytest.mark.parametrize(
    "id", ["42", "{1b4e28ba-2fa1-11d2-883f-0016d3cca427}", "1b4e28ba2fa111d2883f0016d3cca427", "%00", "x" * 5000]
)
def test_an_id_that_is_no_uuid_is_a_400(client, id):
    refused(client.get(f"{CREATE}/{id}"), 400, "invalid_input")


def test_answers_are_not_to_be_stored_by_caches(client):
    assert client.get("/api/v1/whoami")["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "BREW"])
@pytest.mark.parametrize("path", ["/api/v1/nope", "/api/v1/instances/", "/api/v2/instances"])
def test_a_browsers_protection_does_not_stand_before_an_unknown_path(method, path):
    client = Client(enforce_csrf_checks=True)
    refused(client.generic(method, path, b"{}", content_type="application/json"), 404, "not_found")


def test_depth_that_can_be_read_and_not_written_again_is_a_400(client):
    body = b'{"name": "ab", "x": ' + b"[" * 300 + b"]" * 300 + b"}"
    answer = client.post(CREATE, body, content_type="application/json", headers={"Idempotency-Key": "deep"})
    refused(answer, 400, "malformed_body")


@pytest.mark.parametrize(
    "moment", ["2024-01-01T00:00:00+20:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"]
)
def test_a_forged_cursor_is_no_500(client, moment):
    cursor = base64.urlsafe_b64encode(f"{moment} {uuid.uuid4()}".encode()).decode()
    assert client.get(f"{CREATE}?cursor={cursor}").status_code in (200, 400)


def test_more_parameters_than_anybody_needs_are_a_400(client):
    refused(client.get("/api/v1/instances?" + "a=1&" * 1100), 400, "malformed_request")


def test_a_parameter_named_format_means_nothing(client):
    assert client.get("/api/v1/whoami?format=xml").status_code == 200


def test_a_database_that_fails_during_admission_is_a_503(client, monkeypatch):
    def gone(*args, **kwargs):
        raise OperationalError("gone")

    monkeypatch.setattr("basekv.api.admission.admit", gone)
    refused(client.get("/api/v1/whoami"), 503, "temporarily_unavailable")


def test_a_refusal_that_was_not_counted_announces_no_quota():
    customer = factories.customer(requests=5, scopes=[])
    assert "RateLimit" not in customer.client.get(CREATE)
