"""Instance passwords: made here, kept encrypted (accounts/encryption.py)."""

import secrets

PASSWORD_BYTES = 24
MASK = "•" * 8


def new_password() -> str:
    """192 bits in characters that need no escaping in a URL, a config file or a shell."""
    return secrets.token_urlsafe(PASSWORD_BYTES)
