"""Which model requests ask for: one chosen on purpose, else the one that goes with the credential.

A choice is kept with the base URL it was made for and counts there alone: another provider need not have
a model of that name. A request that names a model itself is asked for that one; nothing here knows of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.credentials import Credential, Outcome
from qwen_ls.core.provenance import USER, Source, SourceKind, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwen_ls.core.credentials import Facts

GIVEN = frozenset({SourceKind.ENVIRONMENT, SourceKind.DOTENV})  # what a run without anybody was given


@attrs.frozen
class ModelRung:
    """One place that may name the model: what it named, and why it won or did not."""

    place: str
    outcome: Outcome
    why: str
    model: str | None = None
    source: Source | None = None


def with_choice(facts: Facts, credential: Credential) -> Credential:
    """The credential with the model that was chosen for its base URL, if one was and it comes first."""
    first = next((value for value in in_order(facts, credential) if value is not None), None)
    return attrs.evolve(credential, model=first)


def in_order(facts: Facts, credential: Credential) -> tuple[Value | None, ...]:
    """The folder's choice, the user's, what goes with the credential.

    Without anybody to ask, what the environment and `.env` say comes first, as with keys.
    """
    base_url, own = credential.base_url, credential.model
    folder = chosen(facts.folder_models, base_url, facts.folder)
    user = chosen(facts.user_models, base_url, None)
    given = facts.headless and own is not None and own.source.kind in GIVEN
    return (own, folder, user) if given else (folder, user, own)


def chosen(models: Mapping[str, str], base_url: str, folder: str | None) -> Value | None:
    """The model chosen for a base URL."""
    name = models.get(base_url)
    return None if name is None else Value(name, Source(SourceKind.CHOICE, file=folder), USER)


def model_rungs(facts: Facts, credential: Credential) -> tuple[ModelRung, ...]:
    """Every place, in the order of `in_order`, for a credential whose model is its own still."""
    values = in_order(facts, credential)
    winner = next((value for value in values if value is not None), None)
    rungs = [rung_of(value, winner) for value in values if value is not None]
    for place, models in (
        ("choice for the workspace folder", facts.folder_models),
        ("choice for the user", facts.user_models),
    ):
        others = sorted(f"{name} for {url}" for url, name in models.items() if url != credential.base_url)
        if others:
            why = f"chosen for another base URL: {', '.join(others)}"
            rungs.append(ModelRung(place, Outcome.UNUSABLE, why))
    if winner is None:
        why = "nothing names a model"
        rungs.append(ModelRung("the first that the provider lists", Outcome.ACTIVE, why))
    return tuple(rungs)


def rung_of(value: Value, winner: Value | None) -> ModelRung:
    """The rung of a place that names a model."""
    if winner is None or value is winner:
        return ModelRung(str(value.source), Outcome.ACTIVE, "the first found", value.text, value.source)
    why = f"{winner.source} comes first"
    return ModelRung(str(value.source), Outcome.OUTRANKED, why, value.text, value.source)
