"""Test secrets that occur nowhere else, so that a sweep over everything written can look for them.

Each one handed out is remembered, and appended to the file that QWEN_LS_CANARIES names, if it is set: a
line holds the canary, a blank and its label.
"""

from __future__ import annotations

import os
import secrets

PREFIX = "cnry"
LENGTH = 32  # characters
VARIABLE = "QWEN_LS_CANARIES"

handed_out: dict[str, str] = {}  # canary -> label


def canary(label: str) -> str:
    """Return a new secret of 32 characters; `label` says where in the tests it was made."""
    token = PREFIX + secrets.token_hex((LENGTH - len(PREFIX)) // 2)
    handed_out[token] = label
    registry = os.environ.get(VARIABLE)
    if registry:
        line = f"{token} {' '.join(label.split())}\n".encode()
        descriptor = os.open(registry, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line)  # in one go: several test processes append to it
        finally:
            os.close(descriptor)
    return token
