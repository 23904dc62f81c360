"""Instance passwords: made here, encrypted at rest with keys that can be rotated (BASEKV_ENCRYPTION_KEYS)."""

import secrets
from functools import lru_cache

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

PASSWORD_BYTES = 24
MASK = "•" * 8


def new_password() -> str:
    """192 bits in characters that need no escaping in a URL, a config file or a shell."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def encrypt(password: str) -> str:
    return fernet(tuple(settings.BASEKV_ENCRYPTION_KEYS)).encrypt(password.encode()).decode()


def decrypt(stored: str) -> str:
    return fernet(tuple(settings.BASEKV_ENCRYPTION_KEYS)).decrypt(stored.encode()).decode()


@lru_cache(maxsize=4)
def fernet(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise ImproperlyConfigured("BASEKV_ENCRYPTION_KEYS is not set; docs/operating.md says how to make a key.")
    return MultiFernet([Fernet(key) for key in keys])
