"""Importing what crosses the wire in half the time, with attrs' public interface alone.

attrs writes and compiles methods for each class it makes; of those of `lsprotocol.types` and of the contract,
`__eq__`, `__hash__` and `__repr__` can be one function each for all. tests/lsp/test_lean.py compares every
class with what plain attrs makes of it.
"""

from __future__ import annotations

import sys
from typing import Any

import attrs

MODULES = {"lsprotocol.types": "define", "qwen_ls.contract": "frozen"}
"""Each with what of attrs makes its classes."""


def load_wire() -> None:
    """Import both; does nothing for one that has been imported. For a process of one thread."""
    for module, maker in MODULES.items():
        if module not in sys.modules:
            load(module, maker)


def load(module: str, maker: str) -> None:
    """Import a module whose classes are made by `maker` of attrs."""
    make = getattr(attrs, maker)

    def lean(cls: Any = None, **options: Any) -> Any:
        if cls is None or options:
            return make(cls, **options)
        own = vars(cls).keys()
        shares: dict[str, Any] = {"eq": "__eq__" in own and None, "repr": "__repr__" in own and None}
        made: Any = make(cls, **shares)  # None: as attrs would do by itself
        if "__eq__" not in own:
            made.__eq__ = equal
            made.__hash__ = hashed if maker == "frozen" else None  # what can change cannot be hashed
        if "__repr__" not in own:
            made.__repr__ = shown
        return made

    setattr(attrs, maker, lean)
    try:
        __import__(module)
    finally:
        setattr(attrs, maker, make)


def values_of(one: Any) -> tuple[Any, ...]:
    """The fields' values, in order."""
    return tuple(getattr(one, field.name) for field in attrs.fields(type(one)))


def equal(self: Any, other: Any) -> Any:
    """Equal if of one class and alike in every field."""
    if other.__class__ is not self.__class__:
        return NotImplemented
    return values_of(self) == values_of(other)


def hashed(self: Any) -> int:
    """By the fields, as for all that is equal by them."""
    return hash((type(self), *values_of(self)))


def shown(self: Any) -> str:
    """`Class(field=value, …)`."""
    fields = (f"{field.name}={getattr(self, field.name)!r}" for field in attrs.fields(type(self)))
    return f"{type(self).__qualname__}({', '.join(fields)})"
