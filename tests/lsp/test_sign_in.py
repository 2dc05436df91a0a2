"""Sign-in with Qwen by an editor: device authorization, the browser ladder, cancel, refusal, the check."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from lsp.talk import in_one_piece
from scene import QWEN, chat
from wire import METHOD_NOT_FOUND, NEVER, RpcError

if TYPE_CHECKING:
    from scene import Scene
    from wire import Client

SHOW, ASK = "window/showDocument", "window/showMessageRequest"
LOGIN, TWIN = "qwen.auth.login", "qwen/auth/login"


def asked(client: Client, method: str) -> list[Any]:
    """The params of every request that the server has made."""
    return [message["params"] for message in client.asked if message["method"] == method]


def now() -> float:
    """The loop's clock."""
    return asyncio.get_running_loop().time()


async def end_of(client: Client) -> Any:
    """Join the sign-in under way and wait for its end."""
    return await client.request(TWIN, {"method": QWEN})


async def failure_of(client: Client) -> RpcError:
    """The problem that the sign-in under way ends with."""
    with pytest.raises(RpcError) as failed:
        await end_of(client)
    return failed.value


def nothing_is_written(scene: Scene) -> bool:
    """Whether neither a token nor a choice was kept."""
    return not scene.cache.exists() and not scene.state.exists()


# --- the way through ---------------------------------------------------------------------------------


async def test_a_sign_in_shows_its_code_at_once_and_obeys_slow_down(scene: Scene) -> None:
    """Code and page come within 2 s, a second login joins, `slow_down` costs 5 s more, and chat works."""
    client = await scene.start(scene.folder())
    scene.provider.oauth.slow_down(1)
    begun_at = now()
    begun = await client.command(LOGIN, method=QWEN, workDoneToken="the-client's-token")
    assert now() - begun_at < 2
    assert begun["verificationUri"] == f"{scene.provider.base_url}/authorize"
    assert begun["userCode"] in begun["verificationUriComplete"]
    assert not begun["done"]
    code = await client.notified("qwen/auth/deviceCode")
    assert {name: code[name] for name in ("loginId", "userCode", "verificationUri", "expiresIn")} == {
        name: begun[name] for name in ("loginId", "userCode", "verificationUri", "expiresIn")
    }
    status = await client.notified("qwen/didChangeStatus", lambda s: s["busy"])
    assert not status["signedIn"]

    second = await client.command(LOGIN, method=QWEN)
    assert (second["loginId"], second["userCode"]) == (begun["loginId"], begun["userCode"])
    assert [asked(client, SHOW), asked(client, ASK)] == [
        [{"uri": begun["verificationUriComplete"], "external": True, "takeFocus": True}],
        [],
    ]
    scene.provider.approve(begun["userCode"])
    ended = await end_of(client)
    assert (ended["done"], ended["checked"], ended["status"]["signedIn"]) == (True, True, True)
    assert len(scene.requests("device")) == 1
    slow, granted = scene.requests("token")
    assert (slow["status"], granted["status"]) == (400, 200)
    assert granted["time"] - slow["time"] >= 6  # 1 s and the step of RFC 8628 section 3.5
    kinds = [value["kind"] for value in client.progress("the-client's-token")]
    assert (kinds[0], kinds[-1], kinds.count("end")) == ("begin", "end", 1)
    assert begun["userCode"] in str(client.progress("the-client's-token"))
    assert (await chat(client))["stopReason"] == "end_turn"


async def test_the_answer_does_not_wait_for_a_slow_device_endpoint(scene: Scene) -> None:
    """The command answers within 2 s without a code, which follows as a notification."""
    client = await scene.start()
    scene.provider.fault("device", delay=1.7)
    begun_at = now()
    begun = await client.command(LOGIN, method=QWEN)
    assert now() - begun_at < 2
    assert "userCode" not in begun
    code = await client.notified("qwen/auth/deviceCode")
    assert code["loginId"] == begun["loginId"]


async def test_polling_goes_on_while_pending_and_over_failures(scene: Scene) -> None:
    """Pending answers and a 503 are passed over until the user approves.

    Meanwhile an editor that declares `experimental.qwen.deviceCode`, and so asks people before it opens the
    page, has more than 3 s for that.
    """
    client = await scene.start(
        capabilities={"window": {"showMessage": {}}, "experimental": {"qwen": {"deviceCode": True}}}
    )
    client.on(SHOW, lambda _: NEVER)
    begun = await client.command(LOGIN, method=QWEN)
    scene.provider.fault("token", status=503, times=1)
    await scene.provider.wait_for(lambda _: scene.statuses("token") == [503, 400], 8)
    scene.provider.approve(begun["userCode"])
    assert (await end_of(client))["checked"] is True
    assert scene.statuses("token") == [503, 400, 200]
    polls = [entry["time"] for entry in scene.requests("token")]
    assert polls[2] - polls[0] > 3  # 2 s after the failure, 1 s after the pending answer
    assert asked(client, ASK) == []


# --- several who ask for it --------------------------------------------------------------------------


def choices(scene: Scene) -> Any:
    """The methods that are remembered."""
    return json.loads(scene.state.read_bytes())["choices"]


def said(client: Client) -> list[str]:
    """The messages so far."""
    return [n["params"]["message"] for n in client.notifications if n["method"] == "window/showMessage"]


async def test_each_who_joins_is_signed_in(scene: Scene) -> None:
    """The choice is written for the folder or target of each, and each has the code and the end."""
    first, second = scene.folder("first"), scene.folder("second")
    client = await scene.start(first, second)
    begun = await client.command(LOGIN, method=QWEN, uri=first.as_uri())
    joining = [
        client.begin(TWIN, {"method": QWEN, "uri": second.as_uri(), "workDoneToken": "join"})[1],
        client.begin(TWIN, {"method": QWEN, "uri": second.as_uri(), "target": "user"})[1],
    ]
    await client.until(lambda: begun["userCode"] in str(client.progress("join")))
    scene.provider.approve(begun["userCode"])
    results = [(await asyncio.wait_for(reply, 10))["result"] for reply in joining]
    assert [(result["done"], result["status"]["method"]) for result in results] == [(True, QWEN)] * 2
    assert choices(scene) == {"folders": {str(first): QWEN, str(second): QWEN}, "user": QWEN}
    assert len(scene.requests("device")) == 1
    end = await client.until(lambda: [v for v in client.progress("join") if v["kind"] == "end"])
    assert end == [{"kind": "end", "message": "Signed in to Qwen"}]


async def test_asking_again_for_the_code_tells_the_end_once(scene: Scene) -> None:
    """As somebody does who has lost sight of it: there is one code, and one message."""
    client = await scene.start(scene.folder())
    begun = [await client.command(LOGIN, method=QWEN, workDoneToken=str(n)) for n in range(3)]
    assert len({result["userCode"] for result in begun}) == 1
    scene.provider.approve(begun[0]["userCode"])
    await client.until(lambda: all(client.progress(str(n))[-1]["kind"] == "end" for n in range(3)))
    await client.command("qwen.auth.status")  # by now, all has been said
    assert said(client) == ["Signed in to Qwen"]


async def test_whoever_joins_may_leave(scene: Scene) -> None:
    """A request that is cancelled ends nothing for the others, and its own choice is not written."""
    first, second = scene.folder("first"), scene.folder("second")
    client = await scene.start(first, second)
    begun = await client.command(LOGIN, method=QWEN, uri=first.as_uri())
    id_, joining = client.begin(TWIN, {"method": QWEN, "uri": second.as_uri(), "workDoneToken": "join"})
    await client.until(lambda: client.progress("join"))
    client.cancel(id_)
    assert (await asyncio.wait_for(joining, 10))["error"]["code"] == -32800
    await client.until(lambda: client.progress("join")[-1]["kind"] == "end")
    scene.provider.approve(begun["userCode"])
    await client.until(lambda: said(client))
    assert (said(client), choices(scene)) == (["Signed in to Qwen"], {"folders": {str(first): QWEN}})


async def test_a_cancel_of_the_progress_ends_it_for_all(scene: Scene) -> None:
    """Whichever of them it is, as it does by command; whoever's command has been answered is told."""
    client = await scene.start()
    _, first = client.begin(TWIN, {"method": QWEN, "workDoneToken": "first"})
    await client.until(lambda: codes(client))
    await client.command(LOGIN, method=QWEN, workDoneToken="join")
    await client.until(lambda: client.progress("join"))
    client.notify("window/workDoneProgress/cancel", {"token": "join"})
    assert (await asyncio.wait_for(first, 10))["error"]["data"]["kind"] == "login-cancelled"
    await client.until(lambda: said(client))
    ends = [client.progress(token)[-1] for token in ("first", "join")]
    assert [(end["kind"], end["message"]) for end in ends] == [("end", said(client)[0])] * 2
    assert nothing_is_written(scene)


# --- who opens the page ------------------------------------------------------------------------------


def refuse(_: Any) -> Any:
    """An editor without window/showDocument."""
    raise RpcError({"code": METHOD_NOT_FOUND, "message": "no such method"})


async def test_a_page_that_is_not_opened_becomes_a_question(scene: Scene) -> None:
    """No, an error or nonsense: URL and code are shown at once; Cancel there ends it and keeps nothing."""
    client = await scene.start()
    for number, show in enumerate([lambda _: {"success": False}, refuse, lambda _: ["a list"]], 1):
        await asks_in_place_of_the_page(client, show)
        assert len(asked(client, ASK)) == number
    assert nothing_is_written(scene)


async def test_an_editor_that_does_not_answer_is_waited_for_3_s(scene: Scene) -> None:
    """Then URL and code are shown in the same way, and the editor need not answer any more."""
    client = await scene.start()
    begun_at = now()
    await asks_in_place_of_the_page(client, lambda _: NEVER)
    assert 3 <= now() - begun_at < 4.5
    await client.notified("$/cancelRequest")
    assert nothing_is_written(scene)


async def asks_in_place_of_the_page(client: Client, show: Any) -> None:
    """A sign-in whose page is not opened, and which the user ends in the question that comes instead."""
    joined = asyncio.Event()

    async def cancel(params: Any) -> Any:
        await joined.wait()  # or else whoever joins comes too late, and begins another
        return params["actions"][-1]

    client.on(SHOW, show)
    client.on(ASK, cancel)
    begun = await client.command(LOGIN, method=QWEN)
    joining = asyncio.ensure_future(failure_of(client))
    await asyncio.sleep(0)  # its request is on the way before the answer is
    joined.set()
    assert (await joining).kind == "login-cancelled"
    question = asked(client, ASK)[-1]
    assert begun["verificationUriComplete"] in question["message"]
    assert begun["userCode"] in question["message"]
    assert [action["title"] for action in question["actions"]] == ["Open again", "Cancel"]


async def test_open_again_opens_again(scene: Scene) -> None:
    """`Open again` sends the same page to the editor once more, and the sign-in goes on."""
    client = await scene.start()
    answers = iter([False, True])
    client.on(SHOW, lambda _: {"success": next(answers)})
    client.on(ASK, lambda params: params["actions"][0])
    begun = await client.command(LOGIN, method=QWEN)
    await client.until(lambda: len(asked(client, SHOW)) == 2)
    assert {params["uri"] for params in asked(client, SHOW)} == {begun["verificationUriComplete"]}
    scene.provider.approve(begun["userCode"])
    assert (await end_of(client))["done"] is True


async def test_a_dismissed_question_does_not_end_the_sign_in(scene: Scene) -> None:
    """Somebody who closes the message may still enter the code by hand."""
    client = await scene.start()
    client.on(SHOW, lambda _: {"success": False})
    client.on(ASK, lambda _: None)
    begun = await client.command(LOGIN, method=QWEN)
    await client.until(lambda: asked(client, ASK))
    scene.provider.approve(begun["userCode"])
    assert (await end_of(client))["done"] is True


FOREIGN_PAGES = [
    "https://chat.qwen.ai.example/authorize",
    "http://127.0.0.1:1/authorize",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "vscode://extension/run",
    "--flag",
]


async def test_a_page_of_somebody_else_is_never_opened(scene: Scene) -> None:
    """A verification URI off the issuer's origin ends the sign-in, before anybody has seen it."""
    client = await scene.start()
    for page in FOREIGN_PAGES:
        scene.provider.configure(verification_uri=page)
        with pytest.raises(RpcError) as failed:
            await client.command(LOGIN, method=QWEN)
        assert failed.value.kind == "login-failed"
    assert len(scene.requests("device")) == len(FOREIGN_PAGES)
    assert asked(client, SHOW) == asked(client, ASK) == []
    assert codes(client) == 0


async def test_a_message_to_nobody_offers_the_way_in_and_goes_on(scene: Scene) -> None:
    """Signed out, a chat asks; signing in there answers the message that was sent."""
    scene.provider.configure(auto_approve=True)
    client = await scene.start(scene.folder())
    client.on(ASK, lambda params: params["actions"][0])
    answer = await chat(client, "are you there")
    assert "are you there" in answer["text"]
    (question,) = asked(client, ASK)
    assert question["actions"][0]["title"] == "Sign in with Qwen"


@pytest.mark.parametrize("is_under_way", [False, True])
async def test_a_message_that_is_stopped_wants_no_sign_in(is_under_way: bool, scene: Scene) -> None:  # noqa: FBT001 - a parameter
    """The one that it began shows its code in a progress, and ends with it; one that it joined goes on."""
    client = await scene.start(scene.folder())
    client.on(ASK, lambda params: params["actions"][0])
    if is_under_way:
        await client.command(LOGIN, method=QWEN, workDoneToken="first")
    sending = asyncio.ensure_future(chat(client, workDoneToken="turn"))
    token = await client.until(lambda: [t for t in created(client) if "enter" in str(client.progress(t))])
    code = (await client.notified("qwen/auth/deviceCode"))["userCode"]
    assert code in str(client.progress(*token))
    client.notify("window/workDoneProgress/cancel", {"token": "turn"})
    assert (await asyncio.wait_for(sending, 10))["stopReason"] == "cancelled"
    await client.until(lambda: client.progress(*token)[-1]["kind"] == "end")
    assert await client.command("qwen.auth.cancel") == {"cancelled": is_under_way}


def created(client: Client) -> list[Any]:
    """The tokens of the progresses that the server has made."""
    return [params["token"] for params in asked(client, "window/workDoneProgress/create")]


# --- ends that are none ------------------------------------------------------------------------------


async def test_three_ways_to_cancel_a_sign_in(scene: Scene) -> None:
    """Command, progress button and cancelled request each end it within 1 s, and keep nothing."""
    client = await scene.start()

    async def by_command(_: int) -> None:
        assert await client.command("qwen.auth.cancel") == {"cancelled": True}

    async def by_progress(_: int) -> None:
        client.notify("window/workDoneProgress/cancel", {"token": "work"})

    async def by_request(id_: int) -> None:
        client.cancel(id_)

    outcomes: list[tuple[int, str]] = []
    for cancel in (by_command, by_progress, by_request):
        id_, reply = client.begin(TWIN, {"method": QWEN, "workDoneToken": "work"})
        await client.until(lambda: codes(client) == len(outcomes) + 1)
        cancelled_at = now()
        await cancel(id_)
        error = (await asyncio.wait_for(reply, 5))["error"]
        assert now() - cancelled_at < 1
        outcomes.append((error["code"], error["data"]["kind"]))
    assert outcomes == [(-32803, "login-cancelled"), (-32803, "login-cancelled"), (-32800, "cancelled")]
    assert len(scene.requests("device")) == 3  # each began anew: the one before had really ended
    assert nothing_is_written(scene)
    assert await client.command("qwen.auth.cancel") == {"cancelled": False}


async def test_a_cancel_that_comes_with_the_sign_in(scene: Scene) -> None:
    """It ends the sign-in as it begins, also where the server has first to load what signs in."""
    client = await scene.start()
    with in_one_piece(client):
        _, reply = client.begin(TWIN, {"method": QWEN, "workDoneToken": "work"})
        client.notify("window/workDoneProgress/cancel", {"token": "work"})
    assert (await asyncio.wait_for(reply, 10))["error"]["data"]["kind"] == "login-cancelled"
    assert nothing_is_written(scene)


def codes(client: Client) -> int:
    """How many sign-ins have shown their code."""
    return sum(n["method"] == "qwen/auth/deviceCode" for n in client.notifications)


async def test_denied_and_expired(scene: Scene) -> None:
    """What the user did on the page, and a code that ran out, end the sign-in at once, each by its kind."""
    client = await scene.start()
    begun = await client.command(LOGIN, method=QWEN)
    scene.provider.deny(begun["userCode"])
    assert (await failure_of(client)).kind == "login-denied"
    await client.command(LOGIN, method=QWEN)
    scene.provider.oauth.expire_devices()
    assert (await failure_of(client)).kind == "login-expired"
    assert nothing_is_written(scene)
    assert len(said(client)) == 2  # the commands had answered long before, so the end is told


async def test_a_way_in_that_there_is_not(scene: Scene) -> None:
    """An API key cannot be stored yet, and says where to put it; an unknown method says which there are."""
    client = await scene.start()
    for method in ("api-key", "telepathy"):
        with pytest.raises(RpcError) as failed:
            await client.command(LOGIN, method=method)
        assert failed.value.kind == "not-supported"


# --- the check ---------------------------------------------------------------------------------------


async def test_a_sign_in_counts_only_when_chat_accepts_it(scene: Scene) -> None:
    """A refused chat is the closed free tier and keeps nothing; no answer is a success that says so."""
    scene.provider.configure(auto_approve=True)
    client = await scene.start(scene.folder())
    scene.provider.fault("chat", credential="oauth", status=401)
    assert (await failure_of(client)).kind == "free-tier-closed"
    scene.provider.faults.clear()
    quota = {"error": {"message": "Free allocated quota exceeded.", "code": "insufficient_quota"}}
    scene.provider.fault("chat", credential="oauth", status=429, body=quota)
    closed = await failure_of(client)
    assert (closed.kind, "2026-04-15" in closed.message) == ("free-tier-closed", True)
    assert {"qwen.auth.switch"} == {action["command"] for action in closed.data["actions"]}
    assert nothing_is_written(scene)

    scene.provider.faults.clear()
    scene.provider.fault("chat", status=500)
    ended = await end_of(client)
    assert (ended["done"], ended["checked"]) == (True, False)
    assert "could not be checked" in ended["message"]
    scene.provider.faults.clear()
    assert (await chat(client))["stopReason"] == "end_turn"
    assert json.loads(scene.state.read_bytes())["choices"]["folders"] == {str(scene.folder()): QWEN}
