"""Importing `lsprotocol.types` in half the time, with attrs' public interface alone.

attrs writes and compiles methods for each class it makes; of the 554 here, `__eq__` and `__repr__` can be one
function each for all. tests/lsp/test_lean.py compares every class with what plain attrs makes of it.
"""

from __future__ import annotations

import sys
from typing import Any

import attrs

TYPES = "lsprotocol.types"


def load_types() -> None:
    """Import `lsprotocol.types`; does nothing where it has been imported. For a process of one thread."""
    if TYPES in sys.modules:
        return
    define = attrs.define

    def lean(cls: Any = None, **options: Any) -> Any:
        if cls is None or options:
            return define(cls, **options)
        own = vars(cls).keys()
        shares: dict[str, Any] = {"eq": "__eq__" in own and None, "repr": "__repr__" in own and None}
        made: Any = define(cls, **shares)  # None: as attrs would do by itself
        if "__eq__" not in own:
            made.__eq__, made.__hash__ = equal, None  # unhashable, as whatever can change and be equal
        if "__repr__" not in own:
            made.__repr__ = shown
        return made

    attrs.define = lean  # type: ignore[assignment] # what lsprotocol uses of it
    try:
        __import__(TYPES)
    finally:
        attrs.define = define


def values_of(one: Any) -> tuple[Any, ...]:
    """The fields' values, in order."""
    return tuple(getattr(one, field.name) for field in attrs.fields(type(one)))


def equal(self: Any, other: Any) -> Any:
    """Equal if of one class and alike in every field."""
    if other.__class__ is not self.__class__:
        return NotImplemented
    return values_of(self) == values_of(other)


def shown(self: Any) -> str:
    """`Class(field=value, …)`."""
    fields = (f"{field.name}={getattr(self, field.name)!r}" for field in attrs.fields(type(self)))
    return f"{type(self).__qualname__}({', '.join(fields)})"
