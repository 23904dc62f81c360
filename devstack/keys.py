"""SSH keys, for a machine that may not have OpenSSH's programs."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from nodes.fingerprint import fingerprint as fingerprint_of


def make_private() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def public(private: str) -> str:
    """The line for authorized_keys."""
    key = load_ssh_private_key(private.encode(), password=None)
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def fingerprint(private: str) -> str:
    """Of the public key, as ssh-keygen shows it."""
    return fingerprint_of(public(private))
