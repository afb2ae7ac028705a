"""SHA-256 without the price of importing `hashlib`, which loads OpenSSL: the interpreter has one of its own."""

from __future__ import annotations

try:
    from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    try:  # since Python 3.12
        from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from hashlib import sha256


def sha256_hex(data: bytes) -> str:
    digest: str = sha256(data).hexdigest()
    return digest
