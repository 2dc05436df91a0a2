"""What a person is told about a `.env` file while they read or write it: hover and completion."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.envlint import KEY, MODEL, STAND_IN, URL, lint
from qwen_ls.core.envview import LIKE_A_KEY, Role
from qwen_ls.core.errors import Problem, one_line
from qwen_ls.core.origin import read_base_url
from qwen_ls.core.providers import CATALOGUE, KEY_VARIABLES, KNOWN_NAMES, LOCAL_SERVERS, provider_of_url
from qwen_ls.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qwen_ls.core.envfile import Binding, EnvFile
    from qwen_ls.core.envview import View

OWN_KEYS = {p.key_variable: f"A key for {p.label}, which goes to {p.base_url}" for p in CATALOGUE}
MEANINGS: dict[str, str] = {
    **{name: OWN_KEYS[name] for name in KEY_VARIABLES},
    KEY: f"A key for {URL}; without one, for OpenAI (sk-sp-…: for the Coding Plan)",
    URL: f"Where {KEY} goes; a server on this machine needs no key",
    MODEL: f"The model to ask for, with {KEY} or {URL}",
    STAND_IN: f"Stands in for a missing {MODEL}",
    "DEBUG": "Not empty: the server logs more; ignored in a project's plain .env",
    "DEBUG_MODE": "The same as DEBUG",
}


# --- hover -----------------------------------------------------------------------------------------


def binding_at(view: View, line: int) -> Binding | None:
    """The binding of a known name that covers a line, from 1."""
    found = (b for b in view.content.bindings if b.line <= line <= b.last and b.name in KNOWN_NAMES)
    return next(found, None)


def explain(view: View, binding: Binding) -> list[str]:
    """What a name means, what stands here, what is in force and why, as Markdown lines; no secret in them."""
    name = binding.name
    lines = [f"**{name}**: {MEANINGS[name]}", "", f"- here: {here(view, binding)}", in_force(view, name)]
    lines += [f"- {plain(f.message)}" for f in lint(view) if f.line == binding.line]
    lines += signs(view, binding)
    return [view.blot(line) for line in lines]


def here(view: View, binding: Binding) -> str:
    """The line's own value."""
    if not binding.value:
        return "empty, which counts as unset"
    return f"{value_of(binding.name, binding.value)}, line {binding.line} of {code(view.path)}"


def in_force(view: View, name: str) -> str:
    """The name's value in the folder's environment, and where that comes from."""
    folder = view.facts.folder
    where = f"in force for {code(folder)}" if folder is not None else "in force without a folder"
    value = view.facts.environment.get(name)
    if value is None:
        return f"- {where}: not set"
    return f"- {where}: {value_of(name, value.text)}, from {code(str(value.source))}"


def signs(view: View, binding: Binding) -> Iterator[str]:
    """What becomes of requests, on the line that signs them or says where they go."""
    credential = view.resolution.credential
    if credential is None or view.role is not Role.READ:
        return
    claim = credential.claim
    sources = [claim.source, claim.base_url.source, *([credential.model.source] if credential.model else [])]
    if any(s.file == view.path and s.line == binding.line for s in sources):
        model = value_of(MODEL, credential.model.text) if credential.model else "the first model listed"
        key = code(credential.fingerprint) if credential.fingerprint else "no key"
        yield f"- requests: {model} at {value_of(URL, credential.base_url)}, signed with {key}"


def value_of(name: str, value: str) -> str:
    """A value as it may be shown: keys by fingerprint, refused URLs not at all."""
    if name in KEY_VARIABLES or LIKE_A_KEY.match(value):
        return code(Secret(value).fingerprint)
    if name == URL:
        try:
            read_base_url(value, "")
        except Problem:
            return "a URL that is refused"
    return code(value)


def code(text: str | None) -> str:
    """Text as a code span, so that it is never read as Markdown."""
    return "`" + one_line(text or "").replace("`", "'") + "`"


def plain(text: str) -> str:
    """A message as Markdown, read literally."""
    return re.sub(r"([\\`*_\[\]<>#|!])", r"\\\1", text)


# --- completion ------------------------------------------------------------------------------------


@attrs.frozen
class Proposal:
    """Something to put in place of the columns from `start` to `end` of a line, in code points."""

    label: str
    insert: str
    start: int
    end: int
    detail: str = ""
    documentation: str = ""
    is_value: bool = False


NAME_HERE = re.compile(r"\ufeff?\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*|)")
VALUE_HERE = re.compile(r"""\ufeff?\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=[ \t]*["']?""")
REST_OF_NAME = re.compile(r"[A-Za-z0-9_]*[ \t]*=?")
REST_OF_VALUE = re.compile(r"""[^\s"'#]*""")


def propose(content: EnvFile, line: str, column: int) -> list[Proposal]:
    """What may stand at a column of a line: known names, or base URLs and models of the catalogue."""
    before = line[:column]
    if NAME_HERE.fullmatch(before):
        return list(names(content, line, column))
    found = VALUE_HERE.match(before)
    if found is None or re.search(r"\s", before[found.end() :]):
        return []
    rest = REST_OF_VALUE.match(line, column)
    end = rest.end() if rest else column
    return [attrs.evolve(p, start=found.end(), end=end) for p in values(content, found[1])]


def names(content: EnvFile, line: str, column: int) -> Iterator[Proposal]:
    """Every known name, with its `=`; which of them are set already, and where."""
    found = NAME_HERE.fullmatch(line[:column])
    start = found.start(1) if found else column
    rest = REST_OF_NAME.match(line, column)
    end = rest.end() if rest else column
    for name in KNOWN_NAMES:
        set_at = content.get(name)
        detail = f"set on line {set_at.line}" if set_at is not None else ""
        yield Proposal(name, f"{name}=", start, end, detail, MEANINGS[name])


def values(content: EnvFile, name: str) -> Iterator[Proposal]:
    """The catalogue's values for a name; none for a key."""
    if name == URL:
        for provider in (*CATALOGUE, *LOCAL_SERVERS):
            for url in provider.base_urls:
                yield Proposal(url, url, 0, 0, provider.label, is_value=True)
    elif name in {MODEL, STAND_IN}:
        url_here = content.get(URL)
        chosen = provider_of_url(url_here.value) if url_here is not None and url_here.value else None
        whose: dict[str, list[str]] = {}
        for provider in sorted(CATALOGUE, key=lambda p: p != chosen):
            if provider.default_model:
                whose.setdefault(provider.default_model, []).append(provider.label)
        for model, labels in whose.items():
            yield Proposal(model, model, 0, 0, f"the default of {', '.join(labels)}", is_value=True)
    elif name in {"DEBUG", "DEBUG_MODE"}:
        yield Proposal("1", "1", 0, 0, "log more", is_value=True)
