import httpx
import pytest

from devstack.demo import Customer
from devstack.errors import StackError


def answering(*answers: httpx.Response) -> tuple[Customer, list[httpx.Request]]:
    """A customer of an API that gives these answers, and what it was asked."""
    asked, waiting = [], list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return waiting.pop(0)

    return Customer(httpx.Client(base_url="http://api", transport=httpx.MockTransport(answer))), asked


def test_a_refusal_ends_the_tour_with_what_was_said() -> None:
    customer, _ = answering(httpx.Response(401, json={"error": "Unknown token."}))
    with pytest.raises(StackError, match=r"GET /whoami answered 401: .*Unknown token"):
        customer.walk()


def test_a_tour_that_fails_deletes_its_database() -> None:
    listed = {"instances": [{"id": "7", "status": "running"}]}
    customer, asked = answering(
        httpx.Response(200, json={}),
        httpx.Response(201, json={"id": "7"}),
        httpx.Response(200, json=listed),
        httpx.Response(500, json={"error": "No password today."}),
        httpx.Response(200, json=listed),
        httpx.Response(202, json={}),
    )
    with pytest.raises(StackError, match="No password today"):
        customer.walk()
    assert (asked[-1].method, asked[-1].url.path) == ("DELETE", "/instances/7")
