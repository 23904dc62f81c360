"""An operator's day, in a real browser, against the whole local stack: everything real, nothing asked of the docs."""

import re
import time

import httpx
import pytest
from playwright.sync_api import expect

from tests import packages
from tests.console import browser
from tests.stack import Stack

API = "/api/v1"
PATIENCE = 40  # seconds


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    if missing := packages.why_missing(browser.PROGRAMS):
        pytest.skip(missing)
    stack = Stack.started(tmp_path_factory.mktemp("console") / "state")
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def day(stack, tmp_path_factory):
    with browser.started() as chromium:
        pictures = browser.folder(tmp_path_factory.mktemp("pictures"))
        yield browser.Watched(chromium, stack.url, pictures)


def test_an_operators_day(stack, day):
    page = day.page
    sign_in_by_keyboard(page, stack, day)
    expect(page.get_by_role("heading", name="The fleet by region")).to_be_visible()

    page.get_by_role("link", name="Accounts", exact=True).click()
    page.get_by_role("link", name="Open an account").click()
    day.look("open-account")
    page.get_by_label("Name").fill("Initech")
    page.get_by_label("Plan").select_option("pro")
    page.get_by_role("button", name="Open an account").click()
    expect(page.get_by_text("Initech is open, on Pro")).to_be_visible()

    page.get_by_role("link", name="Issue token").click()
    day.look("issue-token")
    page.get_by_role("button", name="Issue token").click()
    token = page.get_by_label("A new token of Initech").input_value()
    assert re.fullmatch(r"bkv_\w{46}", token)
    assert token not in page.url
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    page.get_by_role("link", name="I have it").click()
    assert token not in page.content()

    with httpx.Client(base_url=stack.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as customer:
        assert customer.post(f"{API}/instances", json={"name": "orders"}).status_code == 201
        watch_it_run(page, "orders")
        fetch_its_log(page)
        day.look("instance")
        drain_the_node_by_keyboard(page, day)

        page.get_by_role("link", name="Accounts", exact=True).click()
        page.get_by_role("link", name="Initech", exact=True).click()
        day.look("account")
        page.get_by_role("row", name=token[:12]).get_by_role("link", name="Revoke").click()
        expect(page.get_by_text("for good")).to_be_visible()
        page.get_by_role("button", name="Revoke").click()
        expect(page.get_by_text(f"{token[:12]} is revoked")).to_be_visible()
        assert customer.get(f"{API}/whoami").status_code == 401

    handle_the_alert(page, day)
    look_around(page, day)
    assert day.complaints == []


def sign_in_by_keyboard(page, stack, day):
    page.goto(stack.env["BASEKV_ADMIN_URL"])
    day.look("sign-in")
    expect(page.get_by_label("Email")).to_be_focused()
    page.keyboard.type(stack.env["BASEKV_ADMIN_EMAIL"])
    page.keyboard.press("Tab")
    page.keyboard.type(stack.env["BASEKV_ADMIN_PASSWORD"])
    page.keyboard.press("Enter")


def watch_it_run(page, name):
    page.get_by_role("link", name="Instances", exact=True).click()
    page.get_by_role("link", name=name, exact=True).click()
    reload_until(page, page.get_by_text("It answers, with its password."))
    expect(page.locator("dd").get_by_text("running").first).to_be_visible()


def fetch_its_log(page):
    page.get_by_role("button", name="Fetch log").click()
    expect(page.locator(".bkv-log")).to_contain_text("redis:")


def drain_the_node_by_keyboard(page, day):
    page.get_by_role("link", name="Nodes", exact=True).click()
    page.get_by_role("link", name="local", exact=True).first.click()
    page.get_by_role("button", name="Probe now").click()
    expect(page.get_by_text("It answers.")).to_be_visible()
    day.look("node")
    reach(page, "Drain")
    page.keyboard.press("Enter")
    expect(page.get_by_text("local is given no new databases")).to_be_visible()
    day.look("drain")
    reach(page, "Drain", role="BUTTON")
    page.keyboard.press("Enter")
    expect(page.get_by_text("local is draining")).to_be_visible()


def handle_the_alert(page, day):
    """The region is full now: it has no other node."""
    page.get_by_role("link", name="Dashboard").click()
    reload_until(page, page.get_by_text("No node of local can take another database"))
    day.look("dashboard")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("You have it in hand")).to_be_visible()
    expect(page.get_by_text("Bring its nodes back")).to_be_visible()
    day.look("alert")


def look_around(page, day):
    page.get_by_role("link", name="Operations", exact=True).click()
    expect(page.get_by_role("cell", name="Provision")).to_be_visible()
    day.look("operations")
    page.get_by_role("link", name="Audit trail", exact=True).click()
    expect(page.get_by_role("cell", name="node.drain")).to_be_visible()
    day.look("audit-trail")
    page.get_by_role("link", name="Plans", exact=True).click()
    page.get_by_role("link", name="Pro", exact=True).click()
    page.get_by_role("link", name="Change limits").click()
    page.get_by_label("Databases").fill("0")
    page.get_by_role("button", name="See what changes").click()
    expect(page.get_by_text("Accounts that have more: 1 (Initech: 1)")).to_be_visible()
    day.look("plan-limits")


def reload_until(page, something):
    """Alerts are compared every 15 seconds."""
    deadline = time.monotonic() + PATIENCE
    while not something.is_visible():
        assert time.monotonic() < deadline, f"{something} did not appear"
        page.wait_for_timeout(200)
        page.reload()


def reach(page, text, role="A"):
    """With the Tab key; where it is, can be seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        there = page.evaluate("[document.activeElement.tagName, document.activeElement.innerText.trim()]")
        if there[0] == role and there[1].endswith(text):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"{text} has the focus, and nobody sees it"
            return
    raise AssertionError(f"{text} cannot be reached by keyboard")
