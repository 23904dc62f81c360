"""SHA-256 without hashlib, which loads OpenSSL: 6 ms of a probe's 30."""

try:
    from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]  # Python 3.12 and newer
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from hashlib import sha256


def hexdigest(data: bytes) -> str:
    return str(sha256(data).hexdigest())
