"""Another SSH key for the control plane, without a moment in which a node cannot be reached.

First every node takes both keys; then, when every process of ours uses the new one, the old one goes. Each request
travels over a new connection made with the key in question, so that it proves the key as well. All can be repeated.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings

from accounts import audit
from accounts.actors import Actor
from nodes import ssh_keys, transport
from nodes.errors import AgentError, Garbage, LoginRefused, NodeError, RotationError
from nodes.health import endpoint
from nodes.models import Node

PROBE = {"verb": "probe"}


class Unproved(RotationError):
    """A node wrote down the keys, and then did not let one of them in."""


def make_pair(path: str) -> None:
    """Private key at `path`, public one beside it; what is there already is kept. Raises RotationError."""
    private, public = Path(path), Path(f"{path}.pub")
    try:
        if not private.exists():
            key = Ed25519PrivateKey.generate()
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
            create(private, pem, mode=0o600)
        line = ssh_keys.public_key(path)
        if not public.exists():
            create(public, f"{line} basekv\n".encode(), mode=0o644)
        if public.read_text().split()[:2] != line.split():
            raise RotationError(f"{public} does not belong to {private}. Remove the wrong one.")
    except OSError as error:
        raise RotationError(f"The key pair {path} cannot be made or read: {error}") from error


def create(path: Path, data: bytes, *, mode: int) -> None:
    """Whole or not at all. Raises FileExistsError rather than to replace a key."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.touch(mode=mode)
    try:
        fresh.write_bytes(data)
        path.hardlink_to(fresh)
    finally:
        fresh.unlink()


def install(new_key: str, *, by: Actor) -> Iterator[tuple[Node, NodeError | None]]:
    """Every node takes the key in use and the new one, and both are proved. Paths of private keys."""
    refuse_the_same(new_key, "That is the key in use already. If every node has it, go on with --retire-old.")
    return each(lambda node: take_both(node, new_key), action="node.take_ssh_key", key=new_key, by=by)


def retire_old(old_key: str | None, *, by: Actor) -> Iterator[tuple[Node, NodeError | None]]:
    """Every node takes the key in use only; that the old one is refused is proved if we are told it."""
    if old_key:
        refuse_the_same(old_key, "That is still the key in use: set BASEKV_SSH_KEY to the new one first.")
    ours = settings.BASEKV_SSH_KEY
    return each(lambda node: take_ours_only(node, old_key), action="node.retire_ssh_keys", key=ours, by=by)


def refuse_the_same(key: str, problem: str) -> None:
    if ssh_keys.public_key(key) == ssh_keys.public_key(settings.BASEKV_SSH_KEY):
        raise RotationError(f"{key}: {problem}")


def each(step: Callable[[Node], None], *, action: str, key: str, by: Actor) -> Iterator[tuple[Node, NodeError | None]]:
    """One node after the other, whatever becomes of them; but what may shut us out is not tried on a second one."""
    after = {"public_key": ssh_keys.public_key(key)}
    for node in Node.objects.order_by("name"):
        # Before it is tried: a node may have done it and not have been able to say so.
        audit.record(actor=by, action=action, subject=node, after=after)
        try:
            step(node)
        except Unproved as error:
            yield node, error
            return
        except NodeError as error:
            yield node, error
        else:
            yield node, None


def take_both(node: Node, new_key: str) -> None:
    try:
        authorize(node, settings.BASEKV_SSH_KEY, new_key)
    except LoginRefused as error:
        # This command is run again, and the node is already past the retirement of the old key.
        if not is_let_in(node, new_key):
            raise RotationError(f"{error} It takes the new key no more than the old one: run enroll_node.") from error


def take_ours_only(node: Node, old_key: str | None) -> None:
    ours = settings.BASEKV_SSH_KEY
    try:
        authorize(node, ours)
    except LoginRefused as error:
        first = f"With BASEKV_SSH_KEY set to the old key, run rotate_ssh_key --new-key {ours}; then this again."
        raise RotationError(f"{error} It does not have the key in use. {first}") from error
    if old_key and is_let_in(node, old_key):
        raise RotationError(f"{node} still lets {old_key} in: its sshd reads more than {node.ssh_user}'s own file.")


def authorize(node: Node, *keys: str) -> None:
    """The node takes these keys and no others. The first of them must be one that it takes already."""
    request = {"verb": "authorize", "keys": [ssh_keys.public_key(key) for key in keys]}
    try:
        transport.call_with_key(endpoint(node), request, keys[0])
    except AgentError as error:
        if error.code == "unknown_verb":
            raise RotationError(f"Its agent is older than this command: run upgrade_agents {node} first.") from error
        raise
    for key in keys:
        prove(node, key)


def prove(node: Node, key: str) -> None:
    try:
        transport.call_with_key(endpoint(node), PROBE, key)
    except NodeError as error:
        what = f"It was given {key} and did not prove it: {error}"
        raise Unproved(f"{what} Look at its sshd; until that is mended, no other node is touched.") from error


def is_let_in(node: Node, key: str) -> bool:
    """Raises Unreachable or HostKeyMismatch when nobody can know."""
    try:
        transport.call_with_key(endpoint(node), PROBE, key)
    except LoginRefused:
        return False
    except (AgentError, Garbage):
        pass  # it was let in, whatever it met there
    return True
