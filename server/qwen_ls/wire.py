"""Payloads as plain JSON data, and a problem as a payload: what every reply needs, and so loads at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls import contract

if TYPE_CHECKING:
    from qwen_ls.core.errors import Problem


def camel(name: str) -> str:
    """A field's name on the wire: `base_url` -> `baseUrl`."""
    head, *rest = name.rstrip("_").split("_")
    return head + "".join(part.title() for part in rest)


def to_wire(value: Any) -> Any:
    """A payload as plain JSON data: camelCase names, fields that are None left out."""
    if attrs.has(type(value)):
        fields = ((a.name, getattr(value, a.name)) for a in attrs.fields(type(value)))
        return {camel(name): to_wire(field) for name, field in fields if field is not None}
    if isinstance(value, (list, tuple)):
        return [to_wire(item) for item in value]
    if isinstance(value, dict):
        return {name: to_wire(item) for name, item in value.items()}
    return value


def error(problem: Problem) -> contract.ErrorData:
    """A problem as it stands in a payload, with its text."""
    return contract.ErrorData(
        kind=problem.kind.value,
        remedy=problem.remedy,
        retryable=problem.retryable,
        message=problem.message,
        cause=problem.cause.value if problem.cause else None,
        actions=[contract.ErrorAction(a.title, a.command, a.argument) for a in problem.actions],
    )


def error_data(problem: Problem) -> contract.ErrorData:
    """A problem as `data` of an error reply, whose message stands beside it."""
    return attrs.evolve(error(problem), message=None)
