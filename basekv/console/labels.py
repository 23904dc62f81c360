"""The colour of a state, the same on every page."""

from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from instances.states import OperationState, Severity, Status
from nodes.states import Health, Intent

GOOD, BUSY, ODD, BAD, QUIET = "success", "info", "warning", "danger", "default"

COLOURS: dict[str, str] = {
    Status.RUNNING: GOOD,
    Status.PENDING: BUSY,
    Status.RESTARTING: BUSY,
    Status.DELETING: ODD,
    Status.DELETED: QUIET,
    Status.FAILED: BAD,
    Health.ONLINE: GOOD,
    Health.STALE: ODD,
    Health.OFFLINE: BAD,
    Intent.ACTIVE: GOOD,
    Intent.DRAINING: ODD,
    Intent.DISABLED: QUIET,
    OperationState.QUEUED: BUSY,
    OperationState.SUCCEEDED: GOOD,
    OperationState.SUPERSEDED: QUIET,
    "suspended": BAD,
    "disabled": QUIET,
    "revoked": QUIET,
    "expired": QUIET,
    "ended": QUIET,
    "open": BAD,
    "acknowledged": ODD,
    "resolved": GOOD,
    Severity.CRITICAL: BAD,
    Severity.WARNING: ODD,
}


def label(state: Any, text: str = "") -> SafeString:
    colour = COLOURS.get(str(state), QUIET)
    return format_html('<span class="bkv-label bkv-{}">{}</span>', colour, text or state)
