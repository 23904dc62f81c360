"""Secrets that we must be able to read again, encrypted at rest with keys that can be rotated
(BASEKV_ENCRYPTION_KEYS: the first one encrypts, all of them decrypt)."""

from functools import lru_cache

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings


def encrypt(secret: str) -> str:
    return fernet(tuple(settings.BASEKV_ENCRYPTION_KEYS)).encrypt(secret.encode()).decode()


def decrypt(stored: str) -> str:
    return fernet(tuple(settings.BASEKV_ENCRYPTION_KEYS)).decrypt(stored.encode()).decode()


@lru_cache(maxsize=4)
def fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])
