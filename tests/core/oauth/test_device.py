"""qwen_ls.core.oauth.device: the device flow (RFC 8628), driven by hand, without clock or network."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from qwen_ls.core.errors import Cause, Kind, Problem
from qwen_ls.core.intents import (
    AwaitRedirect,
    Intent,
    NoReply,
    Now,
    OpenPage,
    PostForm,
    PostJson,
    Reply,
    ShowCode,
    Wait,
)
from qwen_ls.core.oauth.device import (
    DEFAULT_EXPIRES_IN,
    DEFAULT_INTERVAL,
    GRANT_TYPE,
    LONGEST_EXPIRES_IN,
    REQUEST_TIMEOUT,
    DeviceAuthorization,
    device_flow,
    parse_authorization,
)
from qwen_ls.core.oauth.token import CLIENT_ID, SCOPE, Issuer, Token

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
QWEN = Issuer("https://chat.qwen.ai")
# RFC 8628, section 3.2
EXAMPLE = Issuer("https://example.com")
ANSWER = {
    "device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://example.com/device",
    "verification_uri_complete": "https://example.com/device?user_code=WDJB-MJHT",
    "expires_in": 1800,
    "interval": 5,
}
TOKEN = {"access_token": "access-canary", "refresh_token": "refresh-canary", "expires_in": 3600}
PENDING = Reply(400, {"error": "authorization_pending"})
SLOW_DOWN = Reply(400, {"error": "slow_down"})
PAGE = {"content-type": "text/html"}
NO_REPLY = NoReply(Cause.TIMEOUT, "timed out")
START = 1_000_000.0


@attrs.define
class World:
    """What happens around a flow: a clock that the waits move, and the answers to come."""

    answers: list[Reply | NoReply]
    clock: float = START
    asleep: dict[int, float] = attrs.field(factory=dict)  # seconds a laptop sleeps in the n-th wait
    waits: list[float] = attrs.field(factory=list)
    posts: list[PostForm] = attrs.field(factory=list)
    shown: list[DeviceAuthorization] = attrs.field(factory=list)

    def carry_out(self, intent: Intent) -> Any:
        """Do what the flow asks for."""
        match intent:
            case PostForm():
                self.posts.append(intent)
                return self.answers.pop(0)
            case Wait():
                self.clock += intent.seconds + self.asleep.get(len(self.waits), 0.0)
                self.waits.append(intent.seconds)
                return None
            case ShowCode():
                self.shown.append(intent.authorization)
                return None
            case Now():
                return self.clock
            case PostJson() | OpenPage() | AwaitRedirect():
                raise AssertionError(f"a device flow has no use for {intent}")

    def sign_in(self, issuer: Issuer = EXAMPLE) -> Token:
        """Drive a flow to its end by `send`."""
        flow, result, token = device_flow(issuer, VERIFIER), None, None
        try:
            while True:
                result = self.carry_out(flow.send(result))
        except StopIteration as ended:
            token = ended.value
        assert isinstance(token, Token)
        return token


def answer(**changes: Any) -> Reply:
    """The device endpoint's answer with some fields changed; None takes a field away."""
    fields = {**ANSWER, **changes}
    return Reply(200, {k: v for k, v in fields.items() if v is not None})


def polled(*replies: Reply | NoReply, token: bool = True, **changes: Any) -> World:
    """A world that answers the device request, then these polls, then with the token."""
    return World([answer(**changes), *replies, *([Reply(200, TOKEN)] if token else [])])


def failure(world: World, issuer: Issuer = EXAMPLE) -> Problem:
    """The problem in which a sign-in ends; it is one line and holds no secret."""
    with pytest.raises(Problem) as caught:
        world.sign_in(issuer)
    problem = caught.value
    assert problem.message.isprintable()
    assert "canary" not in problem.message
    assert "GmRhmhcx" not in problem.message
    assert problem.remedy
    return problem


# --- the way of the flow -----------------------------------------------------------------------------


def test_the_requests_of_the_rfc() -> None:
    """Sections 3.1 to 3.5: device request with PKCE, the code shown, the poll, the token."""
    world = polled()
    token = world.sign_in()
    assert world.posts == [
        PostForm(
            "https://example.com/api/v1/oauth2/device/code",
            {
                "client_id": CLIENT_ID,
                "scope": SCOPE,
                "code_challenge": CHALLENGE,
                "code_challenge_method": "S256",
            },
            REQUEST_TIMEOUT,
        ),
        PostForm(
            "https://example.com/api/v1/oauth2/token",
            {
                "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
                "client_id": CLIENT_ID,
                "device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS",
                "code_verifier": VERIFIER,
            },
            REQUEST_TIMEOUT,
        ),
    ]
    assert GRANT_TYPE in world.posts[1].form.values()
    (shown,) = world.shown
    assert (shown.user_code, shown.verification_uri) == ("WDJB-MJHT", "https://example.com/device")
    assert shown.verification_uri_complete == "https://example.com/device?user_code=WDJB-MJHT"
    assert (shown.expires_in, shown.interval, world.waits) == (1800.0, 5.0, [5.0])
    assert token.access_token.reveal() == "access-canary"
    assert token.expires_at == START + 5 + 3600


def test_the_order_of_intents() -> None:
    """Ask, look at the clock, show the code, wait, and only then poll."""
    flow = device_flow(EXAMPLE, VERIFIER)
    assert isinstance(next(flow), PostForm)
    assert isinstance(flow.send(answer()), Now)
    assert isinstance(flow.send(START), ShowCode)
    assert flow.send(None) == Wait(5.0)
    assert isinstance(flow.send(None), PostForm)
    assert isinstance(flow.send(PENDING), Now)
    assert flow.send(START + 6) == Wait(5.0)
    flow.close()


def test_another_servers_client() -> None:
    """Client id and scope are the issuer's."""
    world = polled()
    world.sign_in(Issuer("https://example.com", client_id="mine", scope="chat"))
    assert (world.posts[0].form["client_id"], world.posts[0].form["scope"]) == ("mine", "chat")
    assert world.posts[1].form["client_id"] == "mine"


# --- polling -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [
        (None, DEFAULT_INTERVAL),
        (5, 5.0),
        (2, 2.0),
        (1, 1.0),
        (0.25, 1.0),
        (0, 1.0),
        (-7, 1.0),
        ("10", 10.0),
        ("soon", DEFAULT_INTERVAL),
        (True, DEFAULT_INTERVAL),
        ([5], DEFAULT_INTERVAL),
        (float("nan"), DEFAULT_INTERVAL),
        (90, 90.0),
        (3600, 1800.0),
        (10**400, 1800.0),
        (float("inf"), 1800.0),
    ],
)
def test_the_interval(interval: Any, seconds: float) -> None:
    """Section 3.2: 5 s by default; 1 s at least; obeyed, though not beyond the end of the code."""
    world = polled(PENDING, interval=interval)
    if seconds * 2 > 1800:
        assert failure(world).kind is Kind.LOGIN_EXPIRED
    else:
        world.sign_in()
    assert set(world.waits) == {seconds}


@pytest.mark.parametrize(
    ("replies", "waits"),
    [
        ([PENDING, PENDING], [5, 5, 5]),
        ([SLOW_DOWN], [5, 10]),
        ([SLOW_DOWN, PENDING, SLOW_DOWN, PENDING], [5, 10, 10, 15, 15]),
        ([SLOW_DOWN] * 4, [5, 10, 15, 20, 25]),
        ([Reply(429, None), PENDING], [5, 10, 10]),
        ([Reply(429, {"error": "slow_down"})], [5, 10]),
        ([Reply(429, {"error": "authorization_pending"})], [5, 10]),
        ([Reply(429, {"error": "rate_limit"})], [5, 10]),
        (
            [Reply(200, {"status": "pending"}), Reply(200, {"status": "pending", "slowDown": True})],
            [5, 5, 10],
        ),
        ([Reply(200, {"error": "authorization_pending"})], [5, 5]),
        ([NO_REPLY], [5, 10]),
        ([NO_REPLY, NO_REPLY, NO_REPLY, NO_REPLY], [5, 10, 20, 30, 30]),
        ([NO_REPLY, PENDING], [5, 10, 5]),
        ([NO_REPLY, SLOW_DOWN], [5, 10, 10]),
        (
            [Reply(500, None), Reply(502, None), Reply(503, {"error": "temporarily_unavailable"})],
            [5, 10, 20, 30],
        ),
        ([Reply(200, None, PAGE), Reply(302, None), Reply(407, None), Reply(408, None)], [5, 10, 20, 30, 30]),
        ([SLOW_DOWN] * 6 + [NO_REPLY], [5, 10, 15, 20, 25, 30, 35, 35]),
    ],
)
def test_the_pauses(replies: list[Reply | NoReply], waits: list[float]) -> None:
    """Section 3.5: slow_down and 429 add 5 s each, for good; what may pass backs off and goes on."""
    world = polled(*replies)
    assert world.sign_in().access_token
    assert world.waits == waits


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(400, {"error": "access_denied"}), Kind.LOGIN_DENIED),
        (Reply(403, {"error": "access_denied", "error_description": "no"}), Kind.LOGIN_DENIED),
        (Reply(429, {"error": "access_denied"}), Kind.LOGIN_DENIED),
        (Reply(200, {"error": "access_denied"}), Kind.LOGIN_DENIED),
        (Reply(400, {"error": "expired_token"}), Kind.LOGIN_EXPIRED),
        (Reply(429, {"error": "expired_token"}), Kind.LOGIN_EXPIRED),
        (Reply(400, {"error": "invalid_grant"}), Kind.LOGIN_FAILED),
        (Reply(400, {"error": "invalid_client", "error_description": "who?\x1b[2J\n"}), Kind.LOGIN_FAILED),
        (Reply(401, {"error": "unknown_error"}), Kind.LOGIN_FAILED),
        (Reply(400, {}), Kind.LOGIN_FAILED),
        (Reply(400, None), Kind.LOGIN_FAILED),
        (Reply(404, None), Kind.LOGIN_FAILED),
        (Reply(200, None), Kind.LOGIN_FAILED),
        (Reply(200, {}), Kind.LOGIN_FAILED),
        (Reply(204, None), Kind.LOGIN_FAILED),
        (Reply(200, []), Kind.LOGIN_FAILED),
        (Reply(200, "x"), Kind.LOGIN_FAILED),
        (Reply(200, {"access_token": ""}), Kind.LOGIN_FAILED),
        (Reply(200, {"access_token": 5}), Kind.LOGIN_FAILED),
        (Reply(200, {"access_token": "a"}), Kind.LOGIN_FAILED),
        (Reply(200, {"error": "server_error", "access_token": "a", "refresh_token": "r"}), Kind.LOGIN_FAILED),
        (Reply(200, {"status": "done"}), Kind.LOGIN_FAILED),
    ],
)
def test_what_ends_the_flow_at_once(reply: Reply, kind: Kind) -> None:
    """A refusal, an expired code or an answer that makes no sense: no poll after it."""
    world = polled(PENDING, reply)
    assert failure(world).kind is kind
    assert len(world.posts) == 3


def test_a_refusal_is_told_in_the_servers_words() -> None:
    """The code and its description, on one line."""
    reply = Reply(400, {"error": "invalid_client", "error_description": "who\nare\x1b[2J you?"})
    assert "invalid_client, who are[2J you?, HTTP 400" in failure(polled(reply)).message


# --- the end of the code -----------------------------------------------------------------------------


def test_the_deadline_is_on_the_wall_clock() -> None:
    """After `expires_in` seconds one last answer counts, then the code has expired."""
    world = polled(*[PENDING] * 4, token=False, expires_in=20)
    assert failure(world).kind is Kind.LOGIN_EXPIRED
    assert world.waits == [5, 5, 5, 5]
    assert not world.answers


def test_failures_do_not_stretch_the_deadline() -> None:
    """Back-off and slow_down use up the same time."""
    assert (
        failure(polled(NO_REPLY, NO_REPLY, NO_REPLY, token=False, expires_in=35)).kind is Kind.LOGIN_EXPIRED
    )
    assert failure(polled(*[SLOW_DOWN] * 4, token=False, expires_in=50)).kind is Kind.LOGIN_EXPIRED


def test_one_last_poll_after_a_sleep() -> None:
    """A laptop slept past the deadline: it asks once more, and takes a token that is there."""
    world = polled(PENDING)
    world.asleep = {1: 86_400.0}
    assert world.sign_in().expires_at == START + 10 + 86_400 + 3600
    late = polled(PENDING, PENDING, token=False)
    late.asleep = {1: 86_400.0}
    assert failure(late).kind is Kind.LOGIN_EXPIRED
    assert len(late.posts) == 3
    unreachable = polled(PENDING, NO_REPLY, token=False)
    unreachable.asleep = {1: 86_400.0}
    assert failure(unreachable).kind is Kind.LOGIN_EXPIRED


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (600, 600.0),
        ("600", 600.0),
        (0.5, 1.0),
        (None, DEFAULT_EXPIRES_IN),
        (0, DEFAULT_EXPIRES_IN),
        (-1, DEFAULT_EXPIRES_IN),
        ("x", DEFAULT_EXPIRES_IN),
        (True, DEFAULT_EXPIRES_IN),
        ({}, DEFAULT_EXPIRES_IN),
        (float("nan"), DEFAULT_EXPIRES_IN),
        (float("inf"), LONGEST_EXPIRES_IN),
        (2**63, LONGEST_EXPIRES_IN),
        (10**400, LONGEST_EXPIRES_IN),
    ],
)
def test_the_life_of_a_code(expires_in: Any, seconds: float) -> None:
    """Within an hour; the default where it makes no sense."""
    assert parse_authorization(answer(expires_in=expires_in), EXAMPLE).expires_in == seconds


# --- where the user is sent --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "https://chat.qwen.ai/authorize",
        "https://chat.qwen.ai/authorize?user_code=DUNEQGRB&client=qwen-code",
        "https://chat.qwen.ai:443/authorize",
        "https://chat.qwen.ai",
        "https://chat.qwen.ai/?a=%20b+c#top",
        "https://login.example/device",
    ],
)
def test_a_verification_page_of_the_issuer(uri: str) -> None:
    """On the issuer's origin, or on one of its own list; handed on as it came."""
    issuer = Issuer("https://chat.qwen.ai", verification_origins=("https://login.example",))
    found = parse_authorization(answer(verification_uri=uri, verification_uri_complete=uri), issuer)
    assert (found.verification_uri, found.verification_uri_complete) == (uri, uri)


# fmt: off
FOREIGN = [
    "file:///etc/passwd", "file://chat.qwen.ai/etc/passwd", "vscode:extension/evil.evil",
    "vscode://evil.evil/run", "vscode://chat.qwen.ai/authorize", "javascript:alert(1)",
    "javascript://chat.qwen.ai/%0aalert(1)", "data:text/html,<script>alert(1)</script>", "command:evil.run",
    "ms-msdt:/id PCWDiagnostic", "search-ms:query=x", "smb://chat.qwen.ai/x", "ftp://chat.qwen.ai/x",
    "mailto:a@chat.qwen.ai", "tel:1", "about:blank", "view-source:https://chat.qwen.ai/",
    "-flag", "--version", "-https://chat.qwen.ai/", "/bin/sh", "chat.qwen.ai/authorize", "//chat.qwen.ai/",
    "http://chat.qwen.ai/authorize", "https://evil.example/authorize", "https://chat.qwen.ai.evil.example/",
    "https://xchat.qwen.ai/", "https://qwen.ai/", "https://www.chat.qwen.ai/", "https://chat.qwen.ai:8443/",
    "https://chat.qwen.ai@evil.example/", "https://user:pass@chat.qwen.ai/",
    "https://chat.qwen.ai\\@evil.example/",
    "https://evil.example/?https://chat.qwen.ai/", "https://evil.example#https://chat.qwen.ai/",
    "https://evil.example?@chat.qwen.ai/", "https://chat.qwen.ai./authorize", "https://chat.q\u0456wen.ai/",
    "https://chat.qwen.ai/?a b", "https://chat.qwen.ai/?a\nb", "https://chat.qwen.ai/?a\x00b",
    "https://chat.qwen.ai/?$(id)\"'`", "https://chat.qwen.ai/?|calc", "https://chat.qwen.ai/?é",
    "https://chat.qwen.ai/?<x>", "https://chat.qwen.ai/?a\\b", "https://chat.qwen.ai/\u202e?x",
    "https://chat.qwen.ai/" + "a" * 2048, "https://chat.qwen.ai/?" + "a" * 2048, "https://169.254.169.254/",
    "https://127.0.0.1/", "http://127.0.0.1:8080/", "http://localhost/", "https://", "https:///x",
    "https:chat.qwen.ai",
    " https://chat.qwen.ai/", "https://chat.qwen.ai/ ", "https://[::1/", "https://chat.qwen.ai:x/",
    "https://chat.qwen.ai%2eevil.example/", "https://chat.qwen.ai%00.evil.example/", "HTTPS:\\\\chat.qwen.ai",
]
# fmt: on


@pytest.mark.parametrize("name", ["verification_uri", "verification_uri_complete"])
@pytest.mark.parametrize("uri", FOREIGN)
def test_a_foreign_verification_page_is_refused(uri: str, name: str) -> None:
    """Nothing is shown or opened, and nothing is polled: the sign-in fails in one line."""
    good = "https://chat.qwen.ai/authorize"
    uris: dict[str, Any] = {"verification_uri": good, "verification_uri_complete": good, name: uri}
    world = polled(**uris)
    assert failure(world, QWEN).kind is Kind.LOGIN_FAILED
    assert (world.shown, len(world.posts)) == ([], 1)


def test_the_table_of_foreign_pages_is_large_enough() -> None:
    """At least forty addresses, each once."""
    assert len(FOREIGN) == len(set(FOREIGN)) >= 40


def test_a_loopback_issuer_may_use_http() -> None:
    """Its own origin, port and all; another port is foreign."""
    issuer = Issuer("http://127.0.0.1:5000")
    uri = "http://127.0.0.1:5000/activate?user_code=A"
    found = parse_authorization(answer(verification_uri=uri, verification_uri_complete=None), issuer)
    assert found.verification_uri_complete == uri
    for other in ("http://127.0.0.1:5001/", "https://127.0.0.1:5000/", "http://localhost:5000/"):
        with pytest.raises(Problem):
            parse_authorization(answer(verification_uri=other, verification_uri_complete=None), issuer)


# --- hostile and broken device answers ---------------------------------------------------------------


def test_either_verification_uri_is_enough() -> None:
    """The complete one stands in for a missing plain one, and the other way round (section 3.2)."""
    plain = parse_authorization(answer(verification_uri_complete=None), EXAMPLE)
    assert plain.verification_uri_complete == ANSWER["verification_uri"]
    complete = parse_authorization(answer(verification_uri=None), EXAMPLE)
    assert complete.verification_uri == ANSWER["verification_uri_complete"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, None),
        Reply(200, {}),
        Reply(200, []),
        Reply(200, "x"),
        Reply(204, None),
        Reply(400, {"error": "invalid_client", "error_description": "who are you?"}),
        Reply(400, ANSWER),
        Reply(404, None, PAGE),
        Reply(200, {"error": "invalid_scope"}),
        answer(device_code=None),
        answer(device_code=""),
        answer(device_code=5),
        answer(device_code="a\nb"),
        answer(user_code=None),
        answer(user_code=""),
        answer(user_code=["A"]),
        answer(user_code="\x1b[2JAAAA"),
        answer(user_code="AAAA\u202eBBBB"),
        answer(user_code="A" * 65),
        answer(user_code="A\nSend your password to evil.example"),
        answer(verification_uri=None, verification_uri_complete=None),
        answer(verification_uri=5, verification_uri_complete={}),
    ],
)
def test_a_device_answer_that_cannot_be_used(reply: Reply) -> None:
    """Login-failed, naming the host; nothing is shown."""
    world = World([reply])
    problem = failure(world)
    assert problem.kind is Kind.LOGIN_FAILED
    assert "example.com" in problem.message
    assert world.shown == []


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(200, None, PAGE), Kind.NETWORK),
        (Reply(302, None), Kind.NETWORK),
        (Reply(429, {"error": "slow_down"}), Kind.RATE_LIMITED),
        (Reply(500, None), Kind.PROVIDER_DOWN),
    ],
)
def test_a_device_endpoint_that_may_answer_later(reply: Reply, kind: Kind) -> None:
    """Not login-failed: nobody has refused anything."""
    problem = failure(World([reply]))
    assert (problem.kind, problem.retryable) == (kind, True)


@pytest.mark.parametrize("cause", Cause)
def test_an_unreachable_device_endpoint(cause: Cause) -> None:
    """Network, with its cause and the server's origin."""
    problem = failure(World([NoReply(cause, "no way")]))
    assert (problem.kind, problem.cause, problem.retryable) == (Kind.NETWORK, cause, True)
    assert "https://example.com" in problem.message


def test_the_device_code_is_mute() -> None:
    """It signs the poll, so no repr shows it; the user code is made to be shown."""
    found = parse_authorization(answer(), EXAMPLE)
    assert "GmRhmhcx" not in repr(found)
    assert "WDJB-MJHT" in repr(found)
