"""SSH keys as text: hosts' public ones, which are pinned, and our own private ones."""

import asyncssh

from nodes.errors import LoginRefused


def public_key(private_key: str) -> str:
    """The public key line of the private key at this path. Raises LoginRefused when it is not one we can use."""
    return line(read(private_key, private_key))


def read(path: str, name: str) -> asyncssh.SSHKey:
    """The private key at this path; `name` is what people know it by. Raises LoginRefused."""
    try:
        return asyncssh.read_private_key(path)
    except (OSError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise LoginRefused(f"{name} must be the path of an OpenSSH private key: {error}") from error


def parse(line: str) -> asyncssh.SSHKey:
    """Raises asyncssh.KeyImportError, which is a ValueError."""
    return asyncssh.import_public_key(line)


def line(key: asyncssh.SSHKey) -> str:
    """Type and base64, without a comment."""
    return " ".join(key.export_public_key("openssh").decode().split()[:2])


def host_key_algorithms(pinned: asyncssh.SSHKey) -> list[str]:
    """The pinned key's kind first; the others too, so that another key is seen and named, not just failed on."""
    others = [b"ssh-ed25519", b"ecdsa-sha2-nistp256", b"rsa-sha2-512", b"rsa-sha2-256"]
    return [name.decode() for name in dict.fromkeys([*pinned.sig_algorithms, *others])]
