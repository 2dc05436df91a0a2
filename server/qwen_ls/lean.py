"""Classes made by attrs, in a fraction of the time.

attrs writes and compiles methods for each class it makes, and most of them are never called: here each is
compiled when it is first looked up. Of what crosses the wire (`lsprotocol.types` and the contract, over 600
classes) `__eq__`, `__hash__` and `__repr__` are not even written, but one function each for all.
tests/test_lean.py compares each class with what plain attrs makes.

One name in here is attrs' own: the `compile` that its module calls. Should it call another one some day, or
write other scripts, then classes are made as ever, and it takes longer.
"""

from __future__ import annotations

import contextlib
import functools
import re
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

WIRE = {"lsprotocol.types": "define", "qwen_ls.contract": "frozen"}
"""Each with what of attrs makes its classes."""
BEGIN = "\ndef "
OTHER = re.compile(r"\n(?!def )\S")  # a line that neither begins a method nor belongs to one


@contextlib.contextmanager
def compile_when_used() -> Iterator[None]:
    """Have the methods that attrs writes meanwhile compiled by whoever first looks them up."""
    making: Any = sys.modules.get("attr._make", SimpleNamespace())
    making.compile = compile_later
    try:
        yield
    finally:
        del making.compile


def load_wire() -> None:
    """Import what crosses the wire; does nothing for what has been imported. For a process of one thread."""
    with compile_when_used():
        for module, maker in WIRE.items():
            if module not in sys.modules:
                load(module, maker)


def compile_later(script: str, file: str, mode: str) -> Any:
    """What attrs' `compile` gives, but code that makes a Late of each method."""
    lines = "\n" + script
    if OTHER.search(lines):
        return compile(script, file, mode)
    above, *methods = lines.split(BEGIN)
    names = tuple(method[: method.index("(")] for method in methods)
    code, places = placing(names)
    consts = list(code.co_consts)
    line = above.count("\n")
    for place, method in zip(places, methods, strict=False):
        consts[place] = "\n" * line + BEGIN[1:] + method  # a traceback names the line
        line += method.count("\n") + 1
    consts[places[-1]] = file
    return code.replace(co_consts=tuple(consts))


FILE, SCRIPT = "the file", "script {}"


@functools.cache
def placing(names: tuple[str, ...]) -> tuple[Any, tuple[int, ...]]:
    """Code that puts a Late in the place of each of these, with other words for its scripts and its file.

    And where those words stand among its constants: a script for each name, then the file.
    """
    makes = (f"{n} = Late({n!r}, {SCRIPT.format(i)!r}, {FILE!r}, globals())" for i, n in enumerate(names))
    code = compile("\n".join(("from qwen_ls.lean import Late", *makes)), "<late>", "exec")
    words = (*map(SCRIPT.format, range(len(names))), FILE)
    return code, tuple(map(code.co_consts.index, words))


class Late:
    """A method as attrs has written it, in whose place it is put when it is first looked up."""

    def __init__(self, name: str, script: str, file: str, names: dict[str, Any]) -> None:
        self.__name__ = name
        self._script, self._file, self._names = script, file, names

    def __get__(self, one: object, owner: type | None = None) -> Any:
        name, kind = self.__name__, type(one) if owner is None else owner
        made: dict[str, Any] = {}
        exec(compile(self._script, self._file, "exec"), self._names, made)  # noqa: S102 - as attrs does
        method = made[name]
        for about in ("__annotations__", "__doc__", "__module__", "__qualname__"):  # which attrs has set
            if about in vars(self):
                setattr(method, about, vars(self)[about])
        for cls in kind.__mro__:
            if vars(cls).get(name) is self:
                setattr(cls, name, method)
        return method.__get__(one, owner)


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
