"""Replaces the agent by another one, whole or not at all."""

import os
import sys

from .digests import hexdigest
from .errors import Refusal
from .store import Home, write_synced


def upgrade(home: Home, encoded: object, digest: object) -> None:
    """`encoded`: the packed file, compressed by zlib, in base64. Raises Refusal `bad_request`."""
    import base64
    import zlib

    try:
        data = zlib.decompress(base64.b64decode(str(encoded), validate=True))
    except (ValueError, zlib.error):
        raise Refusal("bad_request", "`agent` must be a packed agent.", retry=False) from None
    if hexdigest(data) != digest:
        raise Refusal("bad_request", "`sha256` is not the digest of `agent`.", retry=False)
    fresh = f"{home.packed_file}.{os.getpid()}"
    write_synced(fresh, data)  # a node whose agent a power cut has emptied would need a person
    if not speaks(fresh):
        os.unlink(fresh)
        raise Refusal("bad_request", "The new agent does not run on this node.", retry=False)
    os.replace(fresh, home.packed_file)


def command(path: str) -> list[str]:
    """What starts a packed agent, by the Python that runs this one."""
    return [sys.executable, "-S", "-E", "-I", path]


def speaks(path: str) -> bool:
    """Whether a packed agent answers at all: to no request."""
    import subprocess

    answer = subprocess.run(command(path), input=b"", capture_output=True, timeout=10).stdout
    return answer.startswith(b'{"ok": false')
