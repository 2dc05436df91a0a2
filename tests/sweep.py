"""Look for secrets in whatever was written: plain, JSON-escaped, base64, URL-encoded, hexadecimal."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ESCAPE = re.compile(rb"\\(?:u00|x)([0-9a-fA-F]{2})")
BLANKS = re.compile(rb"(?:\\[rn]|\s)+")


def sweep(places: Mapping[str, bytes], secrets: Mapping[str, str]) -> list[str]:
    """Every find as "LABEL, ENCODING: PLACE"; `secrets` is secret -> label."""
    found: list[str] = []
    for place, data in places.items():
        readings = readings_of(data)
        for secret, label in secrets.items():
            for encoding, (reading, needle) in needles_of(secret).items():
                if needle in readings[reading]:
                    found.append(f"{label}, {encoding}: {place}")
    return found


def readings_of(data: bytes) -> dict[str, bytes]:
    """The data as it is, with its escapes undone, and without line breaks (base64 may be folded)."""
    return {
        "plain": data,
        "JSON": ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), data).replace(b"\\/", b"/"),
        "URL": unquote_to_bytes(data.replace(b"+", b" ")),
        "folded": BLANKS.sub(b"", data),
        "lower": data.lower(),
    }


def needles_of(secret: str) -> dict[str, tuple[str, bytes]]:
    """Encoding -> the reading to search, and the bytes to search it for."""
    raw = secret.encode()
    needles = {name: (name, raw) for name in ("plain", "JSON", "URL")}
    needles["hexadecimal"] = ("lower", raw.hex().encode())
    for shift in range(3):
        for alphabet, encode in (("", base64.b64encode), ("url-safe ", base64.urlsafe_b64encode)):
            needles[f"{alphabet}base64, shifted by {shift}"] = ("folded", core_of(encode, raw, shift))
    return needles


def core_of(encode: object, raw: bytes, shift: int) -> bytes:
    """The part of a base64 text that is the same whatever stands `shift` bytes before `raw`, and after it."""
    assert callable(encode)
    text: bytes = encode(b"\0" * shift + raw)
    begin = (shift * 8 + 5) // 6  # the first character whose six bits are all ours
    end = (shift + len(raw)) * 8 // 6
    return text[begin:end]


def files_below(root: Path, *, but: tuple[str, ...] = ()) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder with its bytes, and its name as a place of its own, but those named `but`."""
    for path in sorted(root.rglob("*")):
        yield f"name of {path}", str(path.relative_to(root)).encode()
        if path.is_file() and path.name not in but:
            yield str(path), path.read_bytes()
