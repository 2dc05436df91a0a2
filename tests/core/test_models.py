"""qwen_ls.core.models: which model is asked for, and why no other one."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from qwen_ls.core.credentials import Facts, Outcome
from qwen_ls.core.envchain import ABSENT, Environment, Look, Presence, find, project_candidates
from qwen_ls.core.envfile import parse_env
from qwen_ls.core.ladder import resolve
from qwen_ls.core.oauth.token import CachedToken, Issuer
from qwen_ls.core.provenance import SourceKind

URL, OTHER = "https://llm.example/v1", "https://other.example/v1"
PAIR = {"OPENAI_API_KEY": "sk-process-0123456789", "OPENAI_BASE_URL": URL}


def facts(
    process: dict[str, str],
    folder: dict[str, str] | None = None,
    user: dict[str, str] | None = None,
    *,
    file: str | None = None,
    headless: bool = False,
) -> Facts:
    """A folder with these variables, these choices by base URL, and a `.env` file of this text."""
    look = ABSENT if file is None else Look(Presence.FILE, parse_env(file))
    project = find(project_candidates(PurePosixPath("/p"))[:1], lambda _: look)
    return Facts(
        folder="/p",
        environment=Environment(process, project),
        user_environment=Environment(process, find((), lambda _: ABSENT)),
        cached=CachedToken("oauth_creds.json"),
        issuer=Issuer("https://chat.qwen.ai"),
        folder_models=folder or {},
        user_models=user or {},
        headless=headless,
    )


def outcome(given: Facts) -> list[tuple[str | None, Outcome]]:
    """The rungs; the one that won is the credential's model."""
    resolution = resolve(given)
    model = resolution.require().model
    (active,) = [rung for rung in resolution.models if rung.outcome is Outcome.ACTIVE]
    assert active.model == (model.text if model else None)
    assert active.source == (model.source if model else None)
    return [(rung.model, rung.outcome) for rung in resolution.models]


WON, LOST, ELSEWHERE = Outcome.ACTIVE, Outcome.OUTRANKED, Outcome.UNUSABLE
SET = {**PAIR, "OPENAI_MODEL": "set"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (facts(PAIR), [(None, WON)]),
        (facts(SET), [("set", WON)]),
        (facts(PAIR, {URL: "mine"}), [("mine", WON)]),
        (facts(SET, {URL: "mine"}), [("mine", WON), ("set", LOST)]),
        (facts(SET, {}, {URL: "ours"}), [("ours", WON), ("set", LOST)]),
        (facts(SET, {URL: "mine"}, {URL: "ours"}), [("mine", WON), ("ours", LOST), ("set", LOST)]),
        (facts(SET, {OTHER: "mine"}), [("set", WON), (None, ELSEWHERE)]),
        (facts(PAIR, {OTHER: "mine"}, {OTHER: "o"}), [(None, ELSEWHERE), (None, ELSEWHERE), (None, WON)]),
        (facts(SET, {OTHER: "mine", URL: "here"}), [("here", WON), ("set", LOST), (None, ELSEWHERE)]),
        (facts(SET, {URL: "mine"}, headless=True), [("set", WON), ("mine", LOST)]),
        (facts(PAIR, {URL: "mine"}, headless=True), [("mine", WON)]),
    ],
)
def test_which_model(given: Facts, expected: list[tuple[str | None, Outcome]]) -> None:
    """The folder's choice, the user's, then what is set; headless, what is set comes first."""
    assert outcome(given) == expected


def test_a_project_file_does_not_outrank_a_choice() -> None:
    """The choice was made for this folder, by its user; the file is where it is told to be outranked."""
    file = f"OPENAI_API_KEY=sk-infile-0123456789\nOPENAI_BASE_URL={URL}\nOPENAI_MODEL=of-the-file\n"
    resolution = resolve(facts({}, {URL: "mine"}, file=file))
    chosen, outranked = resolution.models
    assert (chosen.place, chosen.model) == ("the choice for the folder /p", "mine")
    assert (outranked.model, outranked.why) == ("of-the-file", "the choice for the folder /p comes first")
    assert outranked.place == "OPENAI_MODEL at /p/.qwen/.env:3"


def test_a_choice_goes_with_its_base_url() -> None:
    """Another spelling of a trailing slash is the same base URL; another host is another provider."""
    given = facts({**PAIR, "OPENAI_BASE_URL": f"{URL}/"}, {URL: "mine"})
    assert outcome(given) == [("mine", WON)]
    (rung, _) = resolve(facts(PAIR, {OTHER: "theirs"})).models
    assert rung.why == f"chosen for another base URL: theirs for {OTHER}"


def test_whose_choice_it_was() -> None:
    """The source says so: the folder's path, or nothing for the user's."""
    for given, file in ((facts(PAIR, {URL: "m"}), "/p"), (facts(PAIR, {}, {URL: "m"}), None)):
        model = resolve(given).require().model
        assert model is not None
        assert (model.source.kind, model.source.file) == (SourceKind.CHOICE, file)


def test_nobody_is_signed_in() -> None:
    """There is no base URL to have a choice for."""
    assert resolve(facts({}, {URL: "mine"})).models == ()
