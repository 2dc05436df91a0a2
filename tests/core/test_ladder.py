"""qwen_ls.core.ladder with credentials: who chose the method, which source wins, what each rung says."""

from __future__ import annotations

import traceback
from functools import partial
from pathlib import PurePosixPath

import attrs
import pytest

from core.env_views import stored
from qwen_ls.core.credentials import (
    API_KEY,
    METHODS,
    QWEN_OAUTH,
    Credential,
    Facts,
    Outcome,
    Rung,
)
from qwen_ls.core.envchain import (
    ABSENT,
    Candidate,
    Environment,
    Look,
    Presence,
    find,
    home_candidates,
    project_candidates,
)
from qwen_ls.core.envfile import parse_env
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.ladder import ChosenBy, Resolution, resolve
from qwen_ls.core.oauth.token import CachedToken, Issuer, Token
from qwen_ls.core.origin import ConsentKey, ConsentNeeded, Decision, Policy, WorkspaceTrust, authorize
from qwen_ls.core.providers import CATALOGUE, KEY_VARIABLES, Provider
from qwen_ls.core.secret import Secret

FOLDER, HOME = PurePosixPath("/p"), PurePosixPath("/home/ada")
CACHE = "/home/ada/.qwen/oauth_creds.json"
ISSUER = Issuer("https://chat.qwen.ai")
KEY, FILE_KEY = "sk-process-0123456789", "sk-infile-0123456789"
OPENAI_URL = "https://api.openai.com/v1"
EVIL = "https://evil.example/v1"


def token(resource_url: str | None = "portal.qwen.ai") -> Token:
    """A cached sign-in."""
    return Token(Secret("access-0123456789"), Secret("refresh-0123456789"), "Bearer", resource_url, 1e9)


def facts(  # the whole world of one folder
    *,
    process: dict[str, str] | None = None,
    project: str | None = None,
    home: str | None = None,
    unreadable: str = "",
    cached: CachedToken | None = None,
    folder_choice: str | None = None,
    user_choice: str | None = None,
    headless: bool = False,
    decisions: dict[ConsentKey, Decision] | None = None,
) -> Facts:
    """Facts as the adapters would gather them, from the text of each file."""
    disk = {"/p/.env": project, "/home/ada/.qwen/.env": home}

    def look(candidate: Candidate) -> Look:
        if unreadable and str(candidate.path) == unreadable:
            return Look(Presence.UNREADABLE, reason="it is a directory")
        text = disk.get(str(candidate.path))
        return ABSENT if text is None else Look(Presence.FILE, parse_env(text))

    homes = home_candidates(HOME, None)
    return Facts(
        folder="/p",
        environment=Environment(process or {}, find((*project_candidates(FOLDER), *homes), look)),
        user_environment=Environment(process or {}, find(homes, look)),
        cached=cached or CachedToken(CACHE),
        issuer=ISSUER,
        folder_choice=folder_choice,
        user_choice=user_choice,
        headless=headless,
        decisions=decisions or {},
    )


SIGNED_IN = CachedToken(CACHE, token())
WITH_KEY = {"OPENAI_API_KEY": KEY}


def active(resolution: Resolution) -> Rung:
    """The rung that won; there is exactly one."""
    (rung,) = [r for r in resolution.rungs if r.outcome is Outcome.ACTIVE]
    return rung


def credential(given: Facts) -> Credential:
    """The credential in force, checked against the ladder that explains it."""
    resolution = resolve(given)
    found = resolution.require()
    rung = active(resolution)
    assert resolution.problem is None
    assert (rung.method, rung.base_url) == (found.method, found.base_url)
    assert rung.fingerprint == found.fingerprint
    return found


def secret(found: Credential) -> str | None:
    """The secret that would be sent."""
    return found.claim.secret.reveal() if found.claim.secret else None


# --- who chose ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder_choice", "user_choice", "has_key", "has_oauth", "headless", "method", "chosen_by"),
    [
        (None, None, True, True, False, API_KEY, ChosenBy.INFERRED),
        (None, None, True, False, False, API_KEY, ChosenBy.INFERRED),
        (None, None, False, True, False, QWEN_OAUTH, ChosenBy.INFERRED),
        (None, None, False, False, False, None, ChosenBy.INFERRED),
        (None, QWEN_OAUTH, True, True, False, QWEN_OAUTH, ChosenBy.USER),
        (None, API_KEY, True, True, False, API_KEY, ChosenBy.USER),
        (QWEN_OAUTH, API_KEY, True, True, False, QWEN_OAUTH, ChosenBy.FOLDER),
        (API_KEY, QWEN_OAUTH, True, True, False, API_KEY, ChosenBy.FOLDER),
        (QWEN_OAUTH, QWEN_OAUTH, True, True, True, API_KEY, ChosenBy.HEADLESS),
        (None, None, True, True, True, API_KEY, ChosenBy.HEADLESS),
        (None, None, False, True, True, QWEN_OAUTH, ChosenBy.INFERRED),
        (API_KEY, None, False, True, True, API_KEY, ChosenBy.FOLDER),
        (QWEN_OAUTH, None, False, True, True, QWEN_OAUTH, ChosenBy.FOLDER),
    ],
)
def test_who_chooses_the_method(  # noqa: PLR0917 - a table's columns
    folder_choice: str | None,
    user_choice: str | None,
    has_key: bool,  # noqa: FBT001 - a table's column
    has_oauth: bool,  # noqa: FBT001 - a table's column
    headless: bool,  # noqa: FBT001 - a table's column
    method: str | None,
    chosen_by: ChosenBy,
) -> None:
    """The folder's choice, the user's, else inferred; headless, a key comes before all three."""
    resolution = resolve(
        facts(
            process=WITH_KEY if has_key else None,
            cached=SIGNED_IN if has_oauth else None,
            folder_choice=folder_choice,
            user_choice=user_choice,
            headless=headless,
        )
    )
    assert (resolution.method, resolution.chosen_by) == (method, chosen_by)
    usable = has_key if method == API_KEY else has_oauth
    assert (resolution.credential is not None) is (usable and method is not None)


@pytest.mark.parametrize(
    ("choice", "given"),
    [
        (API_KEY, facts(cached=SIGNED_IN, folder_choice=API_KEY)),
        (QWEN_OAUTH, facts(process=WITH_KEY, folder_choice=QWEN_OAUTH)),
        ("oauth:corp", facts(process=WITH_KEY, cached=SIGNED_IN, user_choice="oauth:corp")),
    ],
)
def test_a_chosen_method_without_a_credential_is_signed_out(choice: str, given: Facts) -> None:
    """Nothing else is tried in its place; the message names the method, the other rungs say why they lost."""
    resolution = resolve(given)
    assert resolution.credential is None
    assert resolution.method == choice
    with pytest.raises(Problem) as caught:
        resolution.require()
    assert caught.value.kind is Kind.SIGNED_OUT
    assert choice in str(caught.value)
    assert caught.value.remedy
    assert not [r for r in resolution.rungs if r.outcome is Outcome.ACTIVE]
    lost = [r for r in resolution.rungs if r.outcome is Outcome.OUTRANKED]
    assert lost
    assert all(choice in r.why and "no credential" in r.why for r in lost)


# --- the environment's key ---------------------------------------------------------------------------


def test_openai_comes_first_then_the_catalogues_order() -> None:
    """Of all variables set, the first of the list wins; each time it is taken away, the next one does."""
    process = {name: f"sk-{name.lower()}-0123456789" for name in reversed(KEY_VARIABLES)}
    for name in KEY_VARIABLES:
        found = credential(facts(process=process))
        assert secret(found) == process.pop(name)
        assert str(found.claim.source) == f"environment variable {name}"


@pytest.mark.parametrize("provider", [p for p in CATALOGUE if p.key_variable], ids=lambda p: p.id)
def test_a_providers_own_key_goes_to_that_provider(provider: Provider) -> None:
    """Its base URL and model are the catalogue's; OPENAI_BASE_URL and the model variables are not for it."""
    variable = provider.key_variable or ""
    found = credential(facts(process={variable: KEY}))
    assert (found.base_url, found.provider) == (provider.base_url, provider)
    assert (found.model.text if found.model else None) == provider.default_model
    if variable != "OPENAI_API_KEY":
        others = {"OPENAI_BASE_URL": EVIL, "OPENAI_MODEL": "m", "QWEN_MODEL": "q"}
        assert credential(facts(process={variable: KEY, **others})) == found


def test_base_url_and_model_go_with_openai_api_key() -> None:
    """The three variables together; slashes at the end are dropped."""
    process = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "https://h.example/v1//", "OPENAI_MODEL": "m"}
    found = credential(facts(process=process))
    assert (secret(found), found.base_url, found.model and found.model.text) == (
        KEY,
        "https://h.example/v1",
        "m",
    )
    assert (found.provider.id, found.expires_at) == ("custom", None)
    signed = authorize(found.claim, f"{found.base_url}/chat/completions", Policy(folder="/p"))
    assert signed == {"Authorization": f"Bearer {KEY}"}


def test_the_model() -> None:
    """OPENAI_MODEL, else QWEN_MODEL, else the provider's default, else none: the first it lists."""
    both = {**WITH_KEY, "OPENAI_MODEL": "o", "QWEN_MODEL": "q"}
    custom = {**WITH_KEY, "OPENAI_BASE_URL": "https://h.example/v1"}
    models = [
        credential(facts(process=process)).model
        for process in (both, {**both, "OPENAI_MODEL": ""}, WITH_KEY, custom)
    ]
    assert [m.text if m else None for m in models] == ["o", "q", "gpt-4o", None]
    qwen = models[1]
    assert qwen is not None
    assert str(qwen.source) == "environment variable QWEN_MODEL"


@pytest.mark.parametrize(
    ("key", "url"),
    [("sk-sp-0123456789", "https://coding.dashscope.aliyuncs.com/v1"), ("sk-0123456789ab", OPENAI_URL)],
)
def test_a_bare_key_goes_where_it_belongs(key: str, url: str) -> None:
    """`sk-sp-` is the Coding Plan's; any other bare OPENAI_API_KEY goes to OpenAI."""
    found = credential(facts(process={"OPENAI_API_KEY": key}))
    assert (found.base_url, found.claim.own_url) == (url, url)
    assert credential(facts(process={"OPENAI_API_KEY": key, "OPENAI_BASE_URL": EVIL})).base_url == EVIL


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/v1", "http://localhost:11434/v1", "https://[::1]:8/v1"]
)
def test_a_loopback_url_needs_no_key(url: str) -> None:
    """A local server is complete without one; nothing is signed."""
    found = credential(facts(process={"OPENAI_BASE_URL": url, "DASHSCOPE_API_KEY": KEY}))
    assert (secret(found), found.fingerprint, found.base_url) == (None, None, url)
    assert authorize(found.claim, url + "/models", Policy()) == {}


@pytest.mark.parametrize("url", [EVIL, "http://h/v1", "http://127.0.0.1@evil.example/v1", "nonsense"])
def test_another_url_without_a_key_is_no_credential(url: str) -> None:
    """Only loopback is complete without a key."""
    assert resolve(facts(process={"OPENAI_BASE_URL": url})).credential is None


def test_name_by_name_from_process_and_file() -> None:
    """The process beats the file for each name; the source of each value is known."""
    found = credential(
        facts(process={"OPENAI_MODEL": "p"}, project="\nOPENAI_API_KEY=" + FILE_KEY + "\nOPENAI_MODEL=f\n")
    )
    assert secret(found) == FILE_KEY
    assert str(found.claim.source) == "OPENAI_API_KEY at /p/.env:2"
    assert found.model is not None
    assert found.model.text == "p"


def test_a_url_that_is_refused_is_not_shown() -> None:
    """A password in a base URL does not get into the ladder; the request is refused."""
    found = resolve(facts(process={**WITH_KEY, "OPENAI_BASE_URL": "https://u:hunter2@h.example/v1"}))
    assert found.credential is not None
    assert found.credential.base_url == ""
    assert "hunter2" not in repr(found.rungs)
    with pytest.raises(Problem) as caught:
        authorize(found.credential.claim, found.credential.base_url + "/chat/completions", Policy())
    assert caught.value.kind is Kind.UNTRUSTED_ORIGIN
    assert "@" in str(caught.value)
    assert "OPENAI_BASE_URL" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_problem_that_is_raised_again_holds_on_to_no_more() -> None:
    """A keyring's refusal is believed for a while, and raised for each request meanwhile."""
    found = resolve(facts())
    lengths = []
    for _ in range(3):
        with pytest.raises(Problem) as caught:
            found.require()
        lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert lengths[0] == lengths[-1]


# --- tiers -------------------------------------------------------------------------------------------


def consent(given: Facts, policy: Policy | None = None) -> ConsentNeeded:
    """The question that this folder's request raises."""
    found = resolve(given).require()
    with pytest.raises(ConsentNeeded) as caught:
        authorize(found.claim, found.base_url + "/chat/completions", policy or Policy(folder="/p"))
    return caught.value


def test_a_users_key_is_claimed_for_the_users_url() -> None:
    """A project's OPENAI_BASE_URL is in force, but what the key's tier names is resolved without it."""
    project = f"OPENAI_BASE_URL={EVIL}\n"
    bare = resolve(facts(process=WITH_KEY, project=project)).require()
    assert (bare.base_url, bare.claim.own_url) == (EVIL, OPENAI_URL)
    named = resolve(
        facts(process=WITH_KEY, project=project, home="OPENAI_BASE_URL=https://corp.example/v1\n")
    ).require()
    assert (named.base_url, named.claim.own_url) == (EVIL, "https://corp.example/v1")
    assert consent(facts(process=WITH_KEY, project=project)).file_has_pair is False


def test_a_files_key_is_claimed_for_the_files_url() -> None:
    """Its own file's URL, else its provider's default; the user's URL is a mixture."""
    pair = resolve(facts(project=f"OPENAI_API_KEY={FILE_KEY}\nOPENAI_BASE_URL={EVIL}\n")).require()
    assert (pair.base_url, pair.claim.own_url, str(pair.claim.tier)) == (EVIL, EVIL, "project file /p/.env")
    bare = resolve(facts(project=f"OPENAI_API_KEY={FILE_KEY}\n")).require()
    assert (bare.base_url, bare.claim.own_url) == (OPENAI_URL, OPENAI_URL)
    need = consent(facts(process={"OPENAI_BASE_URL": EVIL}, project=f"OPENAI_API_KEY={FILE_KEY}\n"))
    assert need.mixed


def test_home_files_are_the_users() -> None:
    """Key and URL of the home file, and of the process, are one tier."""
    found = credential(facts(process=WITH_KEY, home="OPENAI_BASE_URL=https://corp.example/v1\n"))
    assert found.base_url == "https://corp.example/v1"
    assert authorize(found.claim, found.base_url + "/models", Policy(trust=WorkspaceTrust.UNTRUSTED))


def test_a_home_file_in_force_that_is_not_the_first_one() -> None:
    """Met on the way up, or by a link of the folder's: the user's, with a key of either."""
    for process, text in (({}, PAIR), (WITH_KEY, f"OPENAI_BASE_URL={EVIL}\n")):
        given = facts(process=process, home="OPENAI_BASE_URL=https://corp.example/v1\n")
        chain = find(project_candidates(FOLDER), partial(reached, text))
        found = credential(attrs.evolve(given, environment=Environment(process, chain)))
        assert (found.base_url, found.claim.own_url) == (EVIL, EVIL)
        assert authorize(found.claim, found.base_url + "/models", Policy(trust=WorkspaceTrust.UNTRUSTED))


def reached(text: str, _: Candidate) -> Look:
    """A home file."""
    return Look(Presence.FILE, parse_env(text), is_home=True)


PAIR = f"OPENAI_API_KEY={FILE_KEY}\nOPENAI_BASE_URL={EVIL}\n"


def test_the_files_own_pair_by_decision() -> None:
    """The answer "use the file's key and URL" replaces the user's key, whichever half the user has."""
    for process in (WITH_KEY, {"OPENAI_BASE_URL": "https://corp.example/v1"}):
        need = consent(facts(process=process, project=PAIR))
        assert need.file_has_pair
        given = facts(process=process, project=PAIR, decisions={need.key: Decision.FILE})
        found = credential(given)
        assert (secret(found), found.base_url) == (FILE_KEY, EVIL)
        assert authorize(found.claim, EVIL + "/models", Policy(terminal=True))


def test_the_decision_for_the_file_is_for_its_host() -> None:
    """Another host in the file asks again; so does another key of the user."""
    need = consent(facts(process=WITH_KEY, project=PAIR))
    decisions = {need.key: Decision.FILE}
    moved = PAIR.replace("evil.example", "evil2.example")
    assert consent(facts(process=WITH_KEY, project=moved, decisions=decisions)).key != need.key
    other = {"OPENAI_API_KEY": "sk-other-0123456789"}
    assert consent(facts(process=other, project=PAIR, decisions=decisions)).key != need.key


def test_a_decision_for_the_file_without_a_pair() -> None:
    """If the file has lost its key, the question comes back; the user's key is not sent."""
    need = consent(facts(process=WITH_KEY, project=PAIR))
    given = facts(process=WITH_KEY, project=f"OPENAI_BASE_URL={EVIL}\n", decisions={need.key: Decision.FILE})
    assert consent(given, Policy(folder="/p", decisions=given.decisions)).key == need.key


def test_deciding_to_send_changes_nothing_in_the_ladder() -> None:
    """The user's key stays the one in force; `authorize` knows the answer."""
    need = consent(facts(process=WITH_KEY, project=PAIR))
    decisions = {need.key: Decision.SEND}
    found = credential(facts(process=WITH_KEY, project=PAIR, decisions=decisions))
    assert secret(found) == KEY
    assert authorize(found.claim, EVIL + "/models", Policy(folder="/p", decisions=decisions))


# --- Qwen OAuth ----------------------------------------------------------------------------------------


def test_the_cached_sign_in() -> None:
    """The user's tier, Qwen's model, the token's own end; an expired one counts, since it is refreshed."""
    found = credential(facts(cached=SIGNED_IN))
    assert (found.method, found.base_url, found.expires_at) == (QWEN_OAUTH, "https://portal.qwen.ai/v1", 1e9)
    assert found.model is not None
    assert found.model.text == "coder-model"
    assert authorize(found.claim, found.base_url + "/chat/completions", Policy()) == {
        "Authorization": "Bearer access-0123456789"
    }


def test_a_cache_that_cannot_be_used() -> None:
    """A broken file, or a foreign resource_url, is a rung with its reason and no credential."""
    broken = resolve(facts(cached=CachedToken(CACHE, problem="the file is not JSON")))
    foreign = resolve(facts(cached=CachedToken(CACHE, token("evil.example"))))
    for resolution, why in ((broken, "the file is not JSON"), (foreign, "evil.example")):
        rung = resolution.rungs[-1]
        assert (rung.outcome, rung.place) == (Outcome.UNUSABLE, CACHE)
        assert why in rung.why
        assert resolution.credential is None


def test_signed_out_of_qwen_says_why() -> None:
    """The message names method, who chose it, the file and what is wrong with it."""
    given = facts(cached=CachedToken(CACHE, problem="the file is not JSON"), user_choice=QWEN_OAUTH)
    problem = resolve(given).problem
    assert problem is not None
    for words in (QWEN_OAUTH, "user", CACHE, "the file is not JSON"):
        assert words in str(problem)
    assert [a.command for a in problem.actions] == ["qwen.auth.login", "qwen.auth.switch"]


# --- explaining ----------------------------------------------------------------------------------------


def test_every_rung_has_a_reason_and_a_place() -> None:
    """Two rungs for each variable, in order, one for the sign-in; each says why."""
    worlds = [
        facts(),
        facts(process=WITH_KEY, project=PAIR, cached=SIGNED_IN),
        facts(
            process=dict.fromkeys(KEY_VARIABLES, KEY),
            project=PAIR,
            cached=SIGNED_IN,
            folder_choice=QWEN_OAUTH,
        ),
        facts(project=PAIR, unreadable="/p/.env"),
        facts(process={"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, cached=SIGNED_IN),
    ]
    for given in worlds:
        rungs = resolve(given).rungs
        assert all(r.why and r.place for r in rungs)
        order = [r.place.split()[0] for r in rungs if " in " in r.place]
        assert order == [name for name in KEY_VARIABLES for _ in range(2)]
        assert rungs[-1].method == QWEN_OAUTH
        assert KEY not in repr(rungs)
        assert FILE_KEY not in repr(rungs)


def test_the_ladder_of_a_full_world() -> None:
    """Who won and why each other one did not."""
    given = facts(
        process=WITH_KEY, project=f"OPENAI_API_KEY={FILE_KEY}\nDEEPSEEK_API_KEY=d\n", cached=SIGNED_IN
    )
    rungs = {r.place: r for r in resolve(given).rungs}
    won = rungs["OPENAI_API_KEY in environment"]
    assert (won.outcome, won.base_url, won.fingerprint) == (Outcome.ACTIVE, OPENAI_URL, "sk-…6789")
    file = rungs["OPENAI_API_KEY in /p/.env"]
    assert (file.outcome, file.why) == (Outcome.OUTRANKED, "the process environment beats the file")
    deepseek = rungs["DEEPSEEK_API_KEY in /p/.env"]
    assert (deepseek.outcome, deepseek.why) == (
        Outcome.OUTRANKED,
        "environment variable OPENAI_API_KEY comes first",
    )
    assert deepseek.source is not None
    assert deepseek.source.line == 2
    assert rungs["DASHSCOPE_API_KEY in environment"].outcome is Outcome.ABSENT
    oauth = rungs[CACHE]
    assert (oauth.outcome, oauth.why) == (Outcome.OUTRANKED, "api-key is the method in force (inferred)")


def test_nothing_configured_names_everything_looked_for() -> None:
    """Each variable, each file, and what to do."""
    problem = resolve(facts()).problem
    assert problem is not None
    assert problem.kind is Kind.SIGNED_OUT
    text = str(problem)
    places = ["/p/.qwen/.env", "/p/.env", "/.qwen/.env", "/.env", "/home/ada/.qwen/.env", "/home/ada/.env"]
    for words in (*KEY_VARIABLES, *places, "OPENAI_BASE_URL", "OPENAI_MODEL"):
        assert words in text
    assert text.isprintable()


def test_a_file_without_a_key_is_named_as_the_one_that_was_read() -> None:
    """The user learns which file hid the others."""
    problem = resolve(facts(project="", home="OPENAI_API_KEY=" + KEY)).problem
    assert problem is not None
    assert "/p/.env, the first file found" in str(problem)


@pytest.mark.parametrize("choice", [None, API_KEY])
def test_an_unreadable_file(choice: str | None) -> None:
    """If it may have held the key, that is the problem, with path and reason."""
    problem = resolve(
        facts(unreadable="/p/.env", home=WITH_KEY["OPENAI_API_KEY"], user_choice=choice)
    ).problem
    assert problem is not None
    assert problem.kind is Kind.ENV_UNREADABLE
    assert "/p/.env" in str(problem)
    assert "it is a directory" in str(problem)


def test_an_unreadable_file_does_not_hide_the_process() -> None:
    """A key of the process, and a chosen sign-in, do not need the file."""
    assert credential(facts(process=WITH_KEY, unreadable="/p/.env")).method == API_KEY
    assert credential(facts(cached=SIGNED_IN, unreadable="/p/.env")).method == QWEN_OAUTH
    for method, others in ((QWEN_OAUTH, {}), ("oauth:corp", {"oauth:corp": (ISSUER, CachedToken(CACHE))})):
        given = attrs.evolve(facts(unreadable="/p/.env", folder_choice=method), others=others)
        problem = resolve(given).problem
        assert problem is not None
        assert problem.kind is Kind.SIGNED_OUT
        assert problem.event.startswith(f"Signed out of {method}, ")


def test_a_stored_key_that_is_kept_away_is_not_passed_over_in_silence() -> None:
    """Another source's key signs, and that is said; not where it comes first, or where nothing signs."""
    locked = Problem(Kind.KEYRING_LOCKED, "The keyring is locked", remedy="Unlock it")
    kept = attrs.evolve(stored(), secret=None, problem=locked.message, kept_away=locked)
    given = attrs.evolve(facts(process=WITH_KEY), folder_key=kept)
    (note,) = resolve(given).notes
    assert note.text == (
        "it cannot be read: The keyring is locked; the environment variable OPENAI_API_KEY signs in its place"
    )
    assert credential(given).method == API_KEY
    gone = attrs.evolve(kept, problem="its keeper no longer has it", kept_away=None)
    (note,) = resolve(attrs.evolve(given, folder_key=gone)).notes
    assert ": its keeper no longer has it; " in note.text
    others = {"headless": True}, {"folder_key": stored()}, {"folder_choice": QWEN_OAUTH, "cached": SIGNED_IN}
    for changes in (*others, {"environment": facts().environment}):
        assert resolve(attrs.evolve(given, **changes)).notes == ()


def test_the_methods() -> None:
    """The words that `switch` takes."""
    assert METHODS == ("qwen-oauth", "api-key")
