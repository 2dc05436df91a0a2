"""Importing what crosses the wire in a third of the time.

attrs writes and compiles methods for each class it makes. Of those of `lsprotocol.types` and of the contract,
`__eq__`, `__hash__` and `__repr__` can be one function each for all, and `__init__` can wait until a first
object is made: of most there is none. tests/lsp/test_lean.py compares each with what plain attrs makes.

One name in here is attrs' own: the `compile` that its module calls. Should it call another one some day, or
write other scripts, then classes are made as ever, and it takes longer.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import attrs

MODULES = {"lsprotocol.types": "define", "qwen_ls.contract": "frozen"}
"""Each with what of attrs makes its classes."""
LATER = compile("from qwen_ls.lsp.lean import Late; __init__ = Late('SCRIPT', 'FILE', globals())", "", "exec")


def load_wire() -> None:
    """Import both; does nothing for one that has been imported. For a process of one thread."""
    making: Any = sys.modules.get("attr._make", SimpleNamespace())
    making.compile = compile_later
    try:
        for module, maker in MODULES.items():
            if module not in sys.modules:
                load(module, maker)
    finally:
        del making.compile


def compile_later(script: str, file: str, mode: str) -> Any:
    """What attrs' `compile` gives, but of a lone `__init__` code that makes a Late of it."""
    if not script.startswith("def __init__(") or "\ndef " in script:
        return compile(script, file, mode)
    places = {"SCRIPT": script, "FILE": file}
    return LATER.replace(
        co_consts=tuple(places.get(c, c) if isinstance(c, str) else c for c in LATER.co_consts)
    )


class Late:
    """An `__init__` as attrs has written it, in whose place it is put when the first object is made."""

    def __init__(self, script: str, file: str, names: dict[str, Any]) -> None:
        self.__name__ = "__init__"
        self._script, self._file, self._names = script, file, names

    def __set_name__(self, owner: type, _: str) -> None:
        self._owner: Any = owner

    def __get__(self, one: object, owner: type | None = None) -> Any:
        made: dict[str, Any] = {}
        exec(compile(self._script, self._file, "exec"), self._names, made)  # noqa: S102 - as attrs does
        init = made["__init__"]
        for name in ("__annotations__", "__doc__", "__module__", "__qualname__"):  # which attrs has set
            setattr(init, name, getattr(self, name))
        self._owner.__init__ = init
        return init.__get__(one, owner)


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
