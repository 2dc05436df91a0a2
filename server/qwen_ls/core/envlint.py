"""What is to be said about an open `.env` file: findings on its lines, and what can be done there.

A finding's code is stable; docs/reference/env-diagnostics.md has a row for each. No message holds a value.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.credentials import Outcome
from qwen_ls.core.envchain import effective
from qwen_ls.core.envfile import MAX_BYTES, shown
from qwen_ls.core.envview import Role
from qwen_ls.core.errors import Problem, one_line
from qwen_ls.core.origin import ConsentNeeded, parse_base_url, require_leave
from qwen_ls.core.provenance import SourceKind
from qwen_ls.core.providers import CATALOGUE, CUSTOM, KNOWN_NAMES, LOCAL_SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qwen_ls.core.credentials import Credential, Rung
    from qwen_ls.core.envfile import Binding
    from qwen_ls.core.envview import View
    from qwen_ls.core.models import ModelRung
    from qwen_ls.core.provenance import Source

OTHERS_MAY_READ, OTHERS_MAY_WRITE = 0o044, 0o022  # permission bits of group and others
MOST_FINDINGS = 200  # of one file; the first are kept
URL, MODEL, STAND_IN, KEY = "OPENAI_BASE_URL", "OPENAI_MODEL", "QWEN_MODEL", "OPENAI_API_KEY"
WITH_THE_KEY = (URL, MODEL, STAND_IN)


class Severity(IntEnum):
    """How much it matters; the protocol's numbers."""

    ERROR = 1
    WARNING = 2
    INFORMATION = 3
    HINT = 4


@attrs.frozen
class Finding:
    """One thing about one line, from 1. `is_moot` when the line has no effect, and may be shown faded."""

    code: str
    line: int
    severity: Severity
    message: str
    is_moot: bool = False


# Every code there is, and how much it matters.
SEVERITIES = {
    "env.shadowed": Severity.WARNING,
    "env.elsewhere": Severity.HINT,
    "env.unreadable": Severity.ERROR,
    "env.foreign": Severity.WARNING,
    "env.excluded": Severity.WARNING,
    "env.process-wins": Severity.INFORMATION,
    "env.outranked": Severity.INFORMATION,
    "env.unpaired": Severity.INFORMATION,
    "env.base-url": Severity.ERROR,
    "env.mixed-tiers": Severity.WARNING,
    "env.untrusted": Severity.WARNING,
    "env.wrong-endpoint": Severity.WARNING,
    "env.unsaved": Severity.WARNING,
    "env.tracked": Severity.ERROR,
    "env.not-ignored": Severity.WARNING,
    "env.permissions": Severity.WARNING,
    "env.duplicate": Severity.WARNING,
    "env.bad-line": Severity.ERROR,
    "env.reads-differently": Severity.WARNING,
}
MOOT = frozenset(
    {
        "env.shadowed",
        "env.elsewhere",
        "env.excluded",
        "env.process-wins",
        "env.outranked",
        "env.unpaired",
        "env.duplicate",
    }
)

SAID_BY = {"env.outranked": "env.unpaired"}  # two reasons why a line does not count: the first is enough


def finding(code: str, line: int, message: str) -> Finding:
    """A finding of a known code."""
    return Finding(code, line, SEVERITIES[code], message, code in MOOT)


def lint(view: View) -> list[Finding]:
    """Every finding, by line; never with a value of the file in it."""
    found = [*of_the_search(view), *of_a_key_holder(view)]
    if view.role is not Role.ELSEWHERE:  # how a text that nobody here reads is written is not ours to judge
        found += of_the_text(view)
    if view.role is Role.READ:
        found += [*of_the_names(view), *of_the_pair(view)]
    once = {(f.line, SAID_BY.get(f.code, f.code)): f for f in reversed(found)}.values()
    clean = (attrs.evolve(f, message=one_line(view.blot(f.message), 2000)) for f in once)
    return sorted(clean, key=lambda f: (f.line, f.severity, f.code))[:MOST_FINDINGS]


def known(view: View) -> list[Binding]:
    """The bindings of known names with a value: the last one of each name."""
    return list(effective(view.content, ()).values())


# --- the text by itself ----------------------------------------------------------------------------


def of_the_text(view: View) -> Iterator[Finding]:
    """Bad lines, lines that Qwen Code reads differently, duplicates: of the names that are read here."""
    for problem in view.content.problems:
        code = "env.reads-differently" if problem.warning else "env.bad-line"
        yield finding(code, problem.line, capital(problem.text))
    last = {b.name: b.line for b in view.content.bindings}
    for binding in view.content.bindings:
        if binding.name in KNOWN_NAMES and binding.line != last[binding.name]:
            where = f"line {last[binding.name]}"
            message = f"{shown(binding.name)} is set again on {where}, which counts instead"
            yield finding("env.duplicate", binding.line, message)


def capital(text: str) -> str:
    """A sentence's first letter."""
    return text[:1].upper() + text[1:]


# --- a file that holds a key -----------------------------------------------------------------------


def of_a_key_holder(view: View) -> Iterator[Finding]:
    """What may let others see a key: git, and permissions."""
    git, mode = view.file.git, view.file.mode
    if view.kept:
        message = (
            f"The file on the disk still has {', '.join(view.kept)}; save the file to take it away there"
        )
        yield finding("env.unsaved", 1, message)
    for binding in view.keys:
        if git.tracked:
            remedy = "move it to the keyring, run git rm --cached, and have a new key made: history keeps it"
            yield finding("env.tracked", binding.line, f"Git tracks this file with its key; {remedy}")
        elif git.ignored is False:
            message = "Git does not ignore this file, and the next commit may take its key along"
            yield finding("env.not-ignored", binding.line, f"{message}; add it to .gitignore")
        if mode is not None and mode & (OTHERS_MAY_READ | OTHERS_MAY_WRITE):
            what = "change" if mode & OTHERS_MAY_WRITE else "read"
            message = f"Other users of this machine may {what} this key (mode {mode:04o}); chmod 600 the file"
            yield finding("env.permissions", binding.line, message)


# --- its place in the search -----------------------------------------------------------------------


def of_the_search(view: View) -> Iterator[Finding]:
    """A file that is not read says so on each line that would count."""
    if view.role is not Role.ELSEWHERE and len(view.file.text.encode("utf-8", "replace")) > MAX_BYTES:
        message = f"The file is larger than {MAX_BYTES // 1024} KiB, and is not read"
        yield finding("env.unreadable", 1, message)
    elif view.role is Role.UNREADABLE:
        yield finding("env.unreadable", 1, f"The file on the disk cannot be read: {view.why}")
    elif view.role is Role.FOREIGN:
        yield finding("env.foreign", 1, capital(view.why))
    for binding in known(view) if view.role in NOT_READ else []:
        code, why = NOT_READ[view.role], not_read(view)
        yield finding(code, binding.line, f"{binding.name} is not read here: {why}")
    for binding in known(view) if view.role in {Role.READ, Role.FOREIGN} else []:
        if binding.name in view.excluded:
            message = f"{binding.name} is ignored in a project's .env; put it into .qwen/.env beside it"
            yield finding("env.excluded", binding.line, message)


NOT_READ = {Role.SHADOWED: "env.shadowed", Role.ELSEWHERE: "env.elsewhere"}


def not_read(view: View) -> str:
    """Why a file is not read."""
    folder = view.facts.folder
    if view.role is Role.SHADOWED:
        return f"{view.winner} comes first, and only one file is read"
    if folder is None:
        return "without an open folder that holds it, only the home files are"
    return f"the search for {folder} begins there and goes upward, and does not come by"


# --- what the file says, name by name --------------------------------------------------------------


def of_the_names(view: View) -> Iterator[Finding]:
    """Values that do not count, and those that cannot."""
    process = view.facts.environment.process
    unpaired = why_unpaired(view)
    for name, binding in view.effective.items():
        if process.get(name):
            message = f"{name} is not used: the environment variable of that name is set, and comes first"
            yield finding("env.process-wins", binding.line, message)
        elif name == URL and (refused := refusal(view, binding)) is not None:
            yield finding("env.base-url", binding.line, refused)
        elif name in WITH_THE_KEY and unpaired:
            yield finding("env.unpaired", binding.line, f"{name} is not used: {unpaired}")
        elif name == STAND_IN and view.facts.environment.get(MODEL) is not None:
            yield finding("env.unpaired", binding.line, f"{name} is not used: {MODEL} is set")
    yield from outranked(view)


def refusal(view: View, binding: Binding) -> str | None:
    """Why a base URL is refused by everybody, if it is."""
    try:
        parse_base_url(binding.value or "", "", view.policy.insecure_origins)
    except Problem as problem:
        return problem.message
    return None


def why_unpaired(view: View) -> str:
    """Why a base URL and a model have no part in the credential; empty if they have."""
    credential, environment = view.credential, view.facts.environment
    if environment.get(KEY) is not None:
        return ""
    if credential is None:
        return f"it goes with {KEY} alone, which is not set"
    if credential.claim.source.variable in {KEY, URL}:
        return ""
    return f"it goes with {KEY} alone, and the key in force is {credential.claim.source.variable}"


def outranked(view: View) -> Iterator[Finding]:
    """What of this file something else comes before: a stored key, another method, a chosen model."""
    process = view.facts.environment.process
    rungs: tuple[Rung | ModelRung, ...] = (*view.resolution.rungs, *view.resolution.models)
    for rung in rungs:
        source = rung.source
        if source is None or not is_here(view, source) or rung.outcome is not Outcome.OUTRANKED:
            continue
        if source.line is not None and not process.get(source.variable or ""):
            yield finding("env.outranked", source.line, f"{source.variable} is not used: {rung.why}")
    for note in view.resolution.notes:
        if note.file == view.path and note.line:
            yield finding("env.outranked", note.line, note.text)


def is_here(view: View, source: Source) -> bool:
    """Whether a value stands in this file."""
    return source.kind is SourceKind.DOTENV and source.file == view.path


# --- key and URL together --------------------------------------------------------------------------


def of_the_pair(view: View) -> Iterator[Finding]:
    """Where the environment's key would go, and whether it may."""
    credential = view.credential
    if credential is None or credential.claim.secret is None or not credential.base_url:
        return
    line = line_of_pair(view, credential)
    if line is None:
        return
    if (said := said_of_leave(view, credential)) is not None:
        yield finding(said[0], line, said[1])
    if (misplaced := said_of_endpoint(view, credential)) is not None:
        yield finding("env.wrong-endpoint", *misplaced)


def line_of_pair(view: View, credential: Credential) -> int | None:
    """The line of this file that has a part in it: the URL's, the key's, else the first."""
    claim = credential.claim
    for source in (claim.base_url.source, claim.source):
        if is_here(view, source):
            return source.line
    hides = claim.own_url.rstrip("/") != credential.base_url and view.file.home_rank is None
    return 1 if hides else None


def said_of_leave(view: View, credential: Credential) -> tuple[str, str] | None:
    """The code and the message of a key that may not go to its base URL just so."""
    claim = credential.claim
    try:
        base = parse_base_url(claim.base_url.text, "", view.policy.insecure_origins)
    except Problem:
        return None  # said on its own line
    try:
        require_leave(claim, base, view.policy)
    except ConsentNeeded as need:
        if not need.mixed:
            return None  # the file's own pair: asked once, like any
        named, key = claim.base_url.source, claim.source
        message = f"The key comes from {key}, its base URL from {named}: you are asked before it goes there"
        return "env.mixed-tiers", message
    except Problem as problem:
        if claim.own_url.rstrip("/") == credential.base_url:
            return "env.untrusted", problem.message
        return "env.mixed-tiers", problem.message
    return None


def said_of_endpoint(view: View, credential: Credential) -> tuple[int, str] | None:
    """A key of this file whose form tells another provider than the one it goes to."""
    claim, target = credential.claim, credential.provider
    binding = view.content.get(claim.source.variable or "")
    if binding is None or not is_here(view, claim.source) or target in {CUSTOM, *LOCAL_SERVERS}:
        return None
    prefixed = (p for p in CATALOGUE if p.key_prefix and (binding.value or "").startswith(p.key_prefix))
    owner = next(prefixed, None)
    if owner is None or owner == target:
        return None
    what = f"This has the form of a key of {owner.label}, but goes to {target.label}"
    return binding.line, f"{what}; set {URL} to {owner.base_url}"
