"""Who may start this agent: the keys of the control plane."""

import os
import shlex

from .errors import Refusal
from .store import Home, write_synced
from .upgrade import command, speaks
from .wanted import bad

MAX_KEYS = 4
MAX_KEY = 4096
# How many fields each kind of key has inside, its own name among them.
FIELDS = {
    "ssh-ed25519": 2,
    "ssh-rsa": 3,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
}


def keys_of(request: dict[str, object]) -> list[str]:
    """Raises Refusal `bad_request` unless each is a whole public key and nothing else: no option, comment or line."""
    keys = request.get("keys")
    if not isinstance(keys, list) or not 1 <= len(keys) <= MAX_KEYS:
        raise bad(f"`keys` must be a list of 1 to {MAX_KEYS} public keys.")
    for key in keys:
        if not isinstance(key, str) or len(key) > MAX_KEY or not is_public_key(key):
            raise bad("Each of `keys` must be a type and base64, with one blank between them.")
    return keys


def is_public_key(key: str) -> bool:
    import base64

    kind, _, encoded = key.partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except ValueError:
        return False
    # Encoded again it must be the same text: decoders have been known to pass over what they do not know.
    if base64.b64encode(blob).decode() != encoded:
        return False
    found = fields(blob)
    return len(found) == FIELDS.get(kind) and found[0] == kind.encode() and all(found)


def fields(blob: bytes) -> list[bytes]:
    """Those of an SSH public key, each after its length; none if they do not fill it exactly."""
    found = []
    while blob:
        end = 4 + int.from_bytes(blob[:4], "big")
        if len(blob) < end:
            return []
        found.append(blob[4:end])
        blob = blob[end:]
    return found


def write(home: Home, keys: "list[str]") -> None:
    """Whole or not at all, and only for an agent that can be started: what is wrong here shuts us out for good.

    The command is not read from the file that is there, which may hold anything: it is what runs at this moment.
    """
    if not speaks(home.packed_file):
        raise Refusal("internal", "The command for authorized_keys does not start the agent.", retry=False)
    directory = f"{home.directory}/.ssh"
    os.makedirs(directory, 0o700, exist_ok=True)
    fresh = f"{directory}/authorized_keys.{os.getpid()}"
    write_synced(fresh, "".join(line(home, key) for key in keys).encode())
    os.replace(fresh, f"{directory}/authorized_keys")


def line(home: Home, key: str) -> str:
    """As the enrolment writes it."""
    quoted = shlex.join(command(home.packed_file)).replace("\\", "\\\\").replace('"', '\\"')
    return f'restrict,command="{quoted}" {key} basekv\n'
