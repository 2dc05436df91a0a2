"""Proof Key for Code Exchange (RFC 7636), method S256."""

from __future__ import annotations

import base64
import hashlib

VERIFIER_BYTES = 32  # of entropy: 43 characters, the shortest that RFC 7636 section 4.1 allows


def code_verifier(entropy: bytes) -> str:
    """A verifier from `entropy` (32 random bytes), base64url without padding (section 4.1)."""
    return base64.urlsafe_b64encode(entropy).rstrip(b"=").decode()


def code_challenge(verifier: str) -> str:
    """BASE64URL(SHA256(ASCII(code_verifier))) (section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
