import base64
import hashlib


def fingerprint(public_key: str) -> str:
    """`SHA256:...` of an OpenSSH public key line, as ssh-keygen shows it. Raises ValueError when it is none."""
    try:
        key = base64.b64decode(public_key.split()[1], validate=True)
    except IndexError:
        raise ValueError("This is no public key line.") from None
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
