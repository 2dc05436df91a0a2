"""JSON -> contract payloads, strictly: a wrong type is named by its path and never guessed at."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union

import attrs
import cattrs
import cattrs.cols
from cattrs.errors import BaseValidationError, ClassValidationError, IterableValidationError
from cattrs.gen import make_dict_structure_fn, override
from pygls.exceptions import JsonRpcInvalidParams

from qwen_ls.wire import camel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Payload = TypeVar("Payload")
NAMES = {str: "string", int: "integer", bool: "boolean", float: "number"}


class Wrong(TypeError):  # noqa: N818 - a finding about a client's value
    """A value of another type than the contract's; the text names the type, never the value."""


def decode(raw: Any, cls: type[Payload], path: str = "$") -> Payload:
    """Structure `raw` as `cls`. Raises JsonRpcInvalidParams that lists every bad field by path."""
    try:
        payload: Payload = CONVERTER.structure(raw, cls)
    except (BaseValidationError, Wrong) as error:
        raise invalid(list(problems(error, path))) from None
    return payload


def invalid(found: list[tuple[str, str]]) -> JsonRpcInvalidParams:
    """InvalidParams whose message and data name each bad field."""
    text = "; ".join(f"{path}: {what}" for path, what in found)
    listed = [{"path": path, "what": what} for path, what in found]
    return JsonRpcInvalidParams(text, data={"kind": "invalid-params", "problems": listed})


def below(path: str, error: JsonRpcInvalidParams) -> JsonRpcInvalidParams:
    """The same findings about an argument that itself stands at `path`."""
    found = error.data["problems"] if isinstance(error.data, dict) else []
    return invalid([(p["path"].replace("$", path, 1), p["what"]) for p in found])


def problems(error: BaseException, path: str) -> Iterator[tuple[str, str]]:
    """A cattrs error tree as pairs of JSON path and what is wrong there."""
    if isinstance(error, (ClassValidationError, IterableValidationError)):
        noted, rest = error.group_exceptions()
        for inner, note in noted:
            step = f".{camel(note.name)}" if hasattr(note, "name") else f"[{note.index}]"
            yield from problems(inner, path + step)
        for inner in rest:
            yield from problems(inner, path)
    elif isinstance(error, KeyError):
        yield path, "required"
    elif isinstance(error, Wrong):
        yield path, str(error)
    else:
        yield path, "not acceptable"


def exactly(kind: type, *others: type) -> Callable[[Any, Any], Any]:
    """A hook that lets through values of just these types (a boolean is no integer)."""

    def hook(value: Any, _: Any) -> Any:
        if type(value) not in {kind, *others}:
            raise Wrong(f"expected {NAMES[kind]}")
        return value

    return hook


def is_literal(cls: Any) -> bool:
    """Whether a type is a Literal."""
    return typing.get_origin(cls) is Literal


def is_mapping(cls: Any) -> bool:
    """Whether a type is a dict of something."""
    origin: Any = typing.get_origin(cls)
    return origin is dict


def literal_hook(cls: Any) -> Callable[[Any, Any], Any]:
    """One of the literal's values."""
    values = typing.get_args(cls)

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, str) or value not in values:
            raise Wrong(f"expected one of {', '.join(values)}")
        return value

    return hook


def token_hook(value: Any, _: Any) -> Any:
    """A progress token."""
    if value is not None and type(value) not in {str, int}:
        raise Wrong("expected string or integer")
    return value


def make_converter() -> cattrs.Converter:
    """The strict converter."""
    converter = cattrs.Converter(forbid_extra_keys=False, detailed_validation=True)

    def record(cls: Any) -> Callable[[Any, Any], Any]:
        names = {a.name: override(rename=camel(a.name)) for a in attrs.fields(attrs.resolve_types(cls))}
        inner = make_dict_structure_fn(cls, converter, **names)  # type: ignore[arg-type] # overrides by name

        def hook(value: Any, kind: Any) -> Any:
            if not isinstance(value, dict):
                raise Wrong("expected object")
            return inner(value, kind)

        return hook

    def sequence(cls: Any) -> Callable[[Any, Any], Any]:
        inner = cattrs.cols.list_structure_factory(cls, converter)

        def hook(value: Any, kind: Any) -> Any:
            if not isinstance(value, list):
                raise Wrong("expected array")
            return inner(value, kind)

        return hook

    def mapping(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise Wrong("expected object")
        return value

    converter.register_structure_hook_factory(attrs.has, record)
    converter.register_structure_hook_factory(cattrs.cols.is_sequence, sequence)
    converter.register_structure_hook_factory(is_literal, literal_hook)
    converter.register_structure_hook_func(is_mapping, mapping)
    for kind, others in ((str, ()), (int, ()), (bool, ()), (float, (int,))):
        converter.register_structure_hook(kind, exactly(kind, *others))
    converter.register_structure_hook_func(
        lambda cls: cls in {Union[str, int, None], str | int | None},  # noqa: UP007 - two spellings, two types
        token_hook,
    )
    return converter


CONVERTER = make_converter()
