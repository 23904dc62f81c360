"""Reads the request, calls the verb, writes the answer. Exit status 0 whenever there is an answer."""

import json
import os
import signal
import sys

from .deadline import Deadline
from .errors import Refusal
from .store import Home
from .verbs import VERBS

# Of an upgrade, which brings an agent.
MAX_REQUEST_BYTES = 1024 * 1024
# The control plane waits CALL_TIMEOUT (nodes.transport) for an answer and leases an operation for longer than
# KILL_AFTER: LIMIT < CALL_TIMEOUT < KILL_AFTER < lease. So no agent of an expired lease is still at work.
LIMIT = 20.0
KILL_AFTER = 30


def main() -> None:
    """One request. The home is the directory of the packed file that this module was loaded from."""
    signal.alarm(KILL_AFTER)
    os.umask(0o077)
    answer = respond(sys.stdin.buffer.read(MAX_REQUEST_BYTES + 1))
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)  # nothing is left to tidy up, and Python would take 2 ms for it


def respond(text: bytes) -> dict[str, object]:
    """The answer to one request; never raises."""
    try:
        request = parse(text)
        verb = VERBS.get(str(request.get("verb")))
        if verb is None:
            raise Refusal("unknown_verb", f"The verb must be one of {', '.join(VERBS)}.", retry=False)
        packed_file = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        return {"ok": True, **verb(Home(packed_file), request, Deadline(LIMIT))}
    except Refusal as refusal:
        return {"ok": False, "code": refusal.code, "error": str(refusal), "retry": refusal.retry}
    except Exception as error:
        # Only the type and the place: the text of an exception may quote the request, which holds passwords.
        return {"ok": False, "code": "internal", "error": f"The agent failed: {place(error)}.", "retry": True}


def parse(text: bytes) -> dict[str, object]:
    if len(text) > MAX_REQUEST_BYTES:
        raise Refusal("bad_request", f"A request has at most {MAX_REQUEST_BYTES} bytes.", retry=False)
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        raise Refusal("bad_request", "The request must be JSON.", retry=False) from None
    if not isinstance(request, dict):
        raise Refusal("bad_request", "The request must be a JSON object.", retry=False)
    return request


def place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    name = os.path.basename(trace.tb_frame.f_code.co_filename)
    number = f" {error.errno}" if isinstance(error, OSError) else ""
    return f"{type(error).__name__}{number} in {name} line {trace.tb_lineno}"


if __name__ == "__main__":
    main()
