"""User settings: each known one checked, a bad one named and left at its default, unknown ones ignored."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from qwen_ls.core.oauth.token import Issuer
from qwen_ls.core.settings import Settings, Timeouts, parse_settings, read_settings

SERVER = {
    "deviceEndpoint": "https://login.example/device",
    "tokenEndpoint": "https://api.example/token",
    "clientId": "client",
    "chatBaseUrl": "https://chat.example/v1/",
}
ISSUER = Issuer(
    "https://login.example",
    "client",
    "",
    (),
    "https://login.example/device",
    "https://api.example/token",
    "https://chat.example/v1",
)


def problem(**fields: Any) -> str:
    """The one problem that these settings have; everything stays at its default."""
    found = read_settings(fields)
    (only,) = found.problems
    assert attrs.evolve(found, problems=()) == Settings()
    return only


def server_problem(name: str = "corp", /, **changes: Any) -> str:
    """The problem of a server with these fields."""
    return problem(oauthServers={name: {**SERVER, **changes}})


# --- the file as a whole ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{", "{'a': 1}", "[" * 100_000, "// comment\n{}"])
def test_no_json(text: str) -> None:
    """The file is named and nothing of it is used; comments are Qwen Code's, not ours."""
    assert parse_settings(text, "/s.json") == ({}, "/s.json is not JSON; its settings are not used")


@pytest.mark.parametrize("text", ["[]", "1", "null", '"x"'])
def test_no_object(text: str) -> None:
    """Any other JSON is no settings either."""
    assert parse_settings(text, "/s.json") == ({}, "/s.json holds no JSON object")


def test_an_object() -> None:
    """Its fields, as they are."""
    assert parse_settings('{"proxy": "x"}', "/s.json") == ({"proxy": "x"}, None)


def test_nothing_set() -> None:
    """The defaults, which are safe: no plain text, no insecure origin, no server but Qwen's."""
    assert read_settings({}) == Settings()
    assert read_settings({"unknown": 1, "oauthServer": {}}) == Settings()
    defaults = Settings()
    assert (defaults.allow_plaintext_keys, defaults.insecure_origins, defaults.oauth_servers) == (
        False,
        (),
        {},
    )
    assert defaults.excluded_env_vars == ("DEBUG", "DEBUG_MODE")


# --- each setting -----------------------------------------------------------------------------------------


def test_everything_set() -> None:
    """Each setting finds its place."""
    found = read_settings(
        {
            "excludedEnvVars": [],
            "insecureOrigins": ["http://gpu.example:8000"],
            "timeouts": {"connect": 1, "firstByte": 2.5, "idle": 3600, "retryAfter": 4},
            "proxy": "http://proxy.example:3128",
            "caFile": "/ca.pem",
            "allowPlaintextKeys": True,
            "oauthServers": {"corp": SERVER},
            "fallbackModels": ["b", "c"],
        }
    )
    assert found == Settings(
        (),
        ("http://gpu.example:8000",),
        Timeouts(1.0, 2.5, 3600.0, 4.0),
        "http://proxy.example:3128",
        "/ca.pem",
        True,  # noqa: FBT003 - in the order of the fields
        {"corp": ISSUER},
        ("b", "c"),
    )


@pytest.mark.parametrize(
    "name",
    ["excludedEnvVars", "insecureOrigins", "timeouts", "proxy", "caFile", "oauthServers", "fallbackModels"],
)
def test_null_is_unset(name: str) -> None:
    """A setting that is null has its default, and is no problem."""
    assert read_settings({name: None}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("excludedEnvVars", "DEBUG", "no list of strings"),
        ("excludedEnvVars", ["DEBUG", 1], "no list of strings"),
        ("insecureOrigins", {"http://x": True}, "no list of strings"),
        ("proxy", "", "no text"),
        ("proxy", 3128, "no text"),
        ("caFile", ["/ca.pem"], "no text"),
        ("allowPlaintextKeys", "true", "neither true nor false"),
        ("allowPlaintextKeys", 1, "neither true nor false"),
        ("timeouts", 30, "no object"),
        ("oauthServers", [], "no object"),
        ("fallbackModels", "b", "no list of strings"),
    ],
)
def test_a_bad_value_keeps_its_default(name: str, value: object, says: str) -> None:
    """And is named."""
    said = problem(**{name: value})
    assert name in said
    assert says in said


def test_an_insecure_origin_counts_however_it_is_spelled() -> None:
    """Upper case, a slash at the end, the usual port; what is none is named, and the others count."""
    given = ["http://gpu.example:8000/", "HTTP://Lan.example:80", "http://x.example/v1", "", "gpu:8000"]
    found = read_settings({"insecureOrigins": given})
    assert found.insecure_origins == ("http://gpu.example:8000", "http://lan.example")
    assert [p.partition(" is ")[0] for p in found.problems] == [f"insecureOrigins[{n}]" for n in (2, 3, 4)]


@pytest.mark.parametrize("seconds", [0, -1, 3600.1, "10", True, [1], float("nan"), float("inf")])
def test_a_bad_timeout_keeps_its_own_default(seconds: object) -> None:
    """The others beside it count."""
    found = read_settings({"timeouts": {"idle": seconds, "connect": 3}})
    assert found.timeouts == Timeouts(connect=3.0)
    (said,) = found.problems
    assert said.startswith("timeouts.idle is no number of seconds between 0 and 3600")


def test_every_bad_value_is_named() -> None:
    """One problem each, not only the first."""
    found = read_settings({"proxy": 1, "caFile": 2, "timeouts": {"idle": 0, "connect": 0}})
    assert len(found.problems) == 4


def test_a_proxy_is_not_shown() -> None:
    """It may hold a password."""
    assert "hunter2" not in repr(read_settings({"proxy": "http://me:hunter2@proxy.example"}))


# --- sign-in servers --------------------------------------------------------------------------------------


def test_a_server_with_everything() -> None:
    """Scope and further origins for its page are optional."""
    fields = {**SERVER, "scope": "chat offline", "verificationOrigins": ["https://sso.example"], "more": 1}
    found = read_settings({"oauthServers": {"corp-2": fields}}).oauth_servers["corp-2"]
    assert found == attrs.evolve(ISSUER, scope="chat offline", verification_origins=("https://sso.example",))
    assert (found.device_url, found.token_url) == (SERVER["deviceEndpoint"], SERVER["tokenEndpoint"])


def test_a_server_on_loopback_may_be_http() -> None:
    """As any base URL."""
    fields = {**SERVER, "deviceEndpoint": "http://127.0.0.1:9/d", "tokenEndpoint": "http://localhost:9/t"}
    found = read_settings({"oauthServers": {"here": fields}})
    assert found.problems == ()
    assert found.oauth_servers["here"].base_url == "http://127.0.0.1:9"


def test_a_servers_chat_may_be_at_an_insecure_origin() -> None:
    """One that the user allows, and chat alone: the endpoints stay https or loopback."""
    plain = {field: f"http://gpu.example:8000/{field}" for field in SERVER if field != "clientId"}
    for field, url in plain.items():
        given = {
            "oauthServers": {"corp": {**SERVER, field: url}},
            "insecureOrigins": ["http://gpu.example:8000"],
        }
        found = read_settings(given)
        assert [s.chat_base_url for s in found.oauth_servers.values()] == [url] * (field == "chatBaseUrl")
        assert len(found.problems) == (field != "chatBaseUrl")


@pytest.mark.parametrize(
    "name", ["", "Corp", "a b", "-a", "a/b", "..", "über", "a" * 33, "a\n", "corp:x", "a.b"]
)
def test_a_name_that_makes_no_method(name: str) -> None:
    """A name becomes a method and a folder: a-z, 0-9 and hyphens, at most 32."""
    assert "the name is not of a-z 0-9 -" in server_problem(name)


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a" * 32])
def test_a_good_name(name: str) -> None:
    """One character is enough."""
    assert list(read_settings({"oauthServers": {name: SERVER}}).oauth_servers) == [name]


@pytest.mark.parametrize("field", SERVER)
@pytest.mark.parametrize("value", [None, "", 7, ["https://x.example"]])
def test_what_a_server_needs(field: str, value: object) -> None:
    """Each of the four is required, as text."""
    assert server_problem(**{field: value}) == f"oauthServers.corp: {field} is missing"


@pytest.mark.parametrize("field", ["deviceEndpoint", "tokenEndpoint", "chatBaseUrl"])
@pytest.mark.parametrize(
    "url",
    [
        "http://login.example/x",
        "https://u:hunter2@login.example/x",
        "https://login.example/x?y=1",
        "https://login.example/x#y",
        "https://169.254.169.254/x",
        "ftp://login.example",
        "login.example",
        "https://login.example/\n",
    ],
)
def test_a_servers_urls_obey_the_rules(field: str, url: str) -> None:
    """https, or http on loopback; no user, query, fragment, metadata address; a password is not repeated."""
    said = server_problem(**{field: url})
    assert said.startswith("oauthServers.corp: ")
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": 1},
        {"verificationOrigins": "https://x.example"},
        {"verificationOrigins": [1]},
        {"verificationOrigins": ["http://x.example"]},
        {"verificationOrigins": ["*"]},
    ],
)
def test_a_servers_other_fields(changes: Any) -> None:
    """Texts, and origins that may be opened."""
    assert server_problem(**changes).startswith("oauthServers.corp: ")


@pytest.mark.parametrize("fields", [None, [], "https://x.example", 1])
def test_a_server_that_is_no_object(fields: object) -> None:
    """It is named."""
    assert problem(oauthServers={"corp": fields}) == "oauthServers.corp: it is no object"


def test_a_bad_server_harms_no_other() -> None:
    """The good ones are there."""
    found = read_settings({"oauthServers": {"bad": {}, "corp": SERVER}})
    assert found.oauth_servers == {"corp": ISSUER}
    assert len(found.problems) == 1
