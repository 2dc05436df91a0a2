"""qwen_ls.lean: the classes are what plain attrs makes of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

from qwen_ls.lean import compile_later

PROGRAM = """
import importlib, inspect, json, pkgutil, sys
if sys.argv[1] == "lean":
    from qwen_ls.lean import compile_when_used, load_wire
    load_wire()
    late = compile_when_used()
    late.__enter__()
import attrs
import qwen_ls
from lsprotocol import converters, types
from qwen_ls import contract
converters.get_converter()  # resolves what refers forward

def made(cls, number):
    one = cls.__new__(cls)
    for a in attrs.fields(cls):
        object.__setattr__(one, a.name, f"{a.name} {number}")
    return one

def constructed(cls):
    try:
        return repr(cls(**{a.alias: a.name for a in attrs.fields(cls) if a.init}))
    except Exception as error:  # of a validator
        return repr(error)

def about(name, cls):
    one, same, other = made(cls, 1), made(cls, 1), made(cls, 2)
    try:
        hashed = type(hash(one)).__name__
    except TypeError as error:
        hashed = str(error)
    return {
        "signature": str(inspect.signature(cls)),
        "constructed": constructed(cls),
        "init": [str(getattr(cls.__init__, a)) for a in
                 ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__", "__defaults__")],
        "fields": [[str(getattr(a, f)) for f in ("name", "default", "type", "kw_only", "alias", "init")]
                   + [a.eq, bool(a.eq_key), a.order, a.hash, a.repr, bool(a.validator), bool(a.converter)]
                   for a in attrs.fields(cls)],
        "slots": list(getattr(cls, "__slots__", ())),
        "match": list(cls.__match_args__),
        "repr": repr(one),
        "equal": [one == same, one == other, one != same, one != other, one == 5, one != 5, one == name],
        "hash": [hashed, cls.__hash__ is None],
        "module": [cls.__module__, cls.__qualname__, cls.__doc__],
        "setattr": [cls.__setattr__ is object.__setattr__],
        "bases": [base.__qualname__ for base in cls.__mro__],
    }

ours = [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(qwen_ls.__path__, "qwen_ls.")
    if not found.ispkg and not found.name.startswith("qwen_ls.demo")
]
if sys.argv[1] == "lean":
    late.__exit__(None, None, None)
made_by_attrs = {
    f"{module.__name__}.{n}": cls
    for module in (types, contract, *ours)
    for n, cls in vars(module).items()
    if isinstance(cls, type) and attrs.has(cls)
}
def late():
    methods = [method for cls in made_by_attrs.values() for method in vars(cls).values()]
    return sum(type(method).__name__ == "Late" for method in methods)

late_before = late()
found = {name: about(name, cls) for name, cls in made_by_attrs.items()}
generic = sum(getattr(cls.__eq__, "__module__", "") == "qwen_ls.lean" for cls in made_by_attrs.values())
makers = [attrs.define.__module__, attrs.frozen.func.__module__]
makers.append(hasattr(sys.modules["attr._make"], "compile"))
print(json.dumps({"classes": found, "generic": generic, "makers": makers, "late": [late_before, late()]}))
"""


def classes(how: str) -> dict[str, Any]:
    """What a process has, that imported the types in this way."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, check=True, text=True, timeout=60
    )
    found: dict[str, Any] = json.loads(re.sub(r" at 0x\w+", "", run.stdout))
    return found


def test_every_class_is_as_plain_attrs_makes_it() -> None:
    """Signature, fields, slots, repr, ==, != and hash of all of them; only the functions are shared."""
    lean, plain = classes("lean"), classes("plain")
    names = lean["classes"].keys()
    assert len(names) > 600
    assert {
        "lsprotocol.types.Hover",
        "qwen_ls.contract.Status",
        "qwen_ls.core.credentials.Credential",
    } <= names
    assert lean["classes"] == plain["classes"]
    assert plain["generic"] == 0
    assert lean["generic"] > 600
    assert plain["late"] == [0, 0]
    assert lean["late"][0] > 1500  # those that were compiled had an object made
    assert lean["late"][1] == 0
    assert lean["makers"] == plain["makers"]  # attrs itself is as it was


SCRIPT = """
def one(self):
    return 1


def two(self):
    x = 2

    raise LookupError
"""


def test_a_traceback_names_the_line() -> None:
    """A method that is compiled when it is used stands where it stood in attrs' script."""
    made: dict[str, Any] = {}
    exec(compile_later(SCRIPT, "a script", "exec"), {}, made)  # noqa: S102 - as attrs does
    late = type("Late", (), made)()
    assert late.one() == 1
    assert [late.one.__code__.co_firstlineno, late.two.__code__.co_firstlineno] == [2, 6]
    assert late.two.__code__.co_filename == "a script"


def test_any_other_script_is_compiled_at_once() -> None:
    """One that does more than begin methods is left to Python."""
    made: dict[str, Any] = {}
    exec(compile_later(SCRIPT + "three = 3\n", "a script", "exec"), {}, made)  # noqa: S102 - as above
    assert made["three"] == 3
    assert type(made["one"]).__name__ == "function"
