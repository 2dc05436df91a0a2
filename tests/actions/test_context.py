"""qwen_ls.actions.context: what a message becomes on its way to the provider."""

from __future__ import annotations

import asyncio
from time import process_time
from typing import TYPE_CHECKING

import attrs
import pytest

from actions.fakes import ports_of
from canary import canary
from qwen_ls.actions.context import attach
from qwen_ls.actions.ports import Place
from qwen_ls.adapters.context_files import WorkspaceFiles
from qwen_ls.core.chat import Message, Role
from qwen_ls.core.context import MAX_FILE, Diagnostic, Given, Selection, Severity
from qwen_ls.core.errors import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SECRET = canary("test_context")
SELECTION = Selection("/elsewhere/a.py", 2, 4, "x = 1\ny = 2", "python")
SELECTED = "Selection in `/elsewhere/a.py`, lines 3 to 4:\n```python\nx = 1\ny = 2\n```"


@attrs.frozen
class Open:
    """Documents that are open in an editor, by real path."""

    texts: Mapping[str, str]

    async def text_of(self, real: str) -> str | None:
        """The text."""
        return self.texts.get(real)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace folder with two files."""
    folder = tmp_path.resolve() / "ws"
    folder.mkdir()
    (folder / "a.py").write_text("one\ntwo\nthree\n", encoding="utf-8")
    (folder / "my notes.md").write_text("notes\n", encoding="utf-8")
    (folder / ".env").write_text(f"OPENAI_API_KEY={SECRET}\n", encoding="utf-8")
    return folder


async def sent(
    folder: Path | None,
    *texts: str,
    given: Given | None = None,
    lasting: Given | None = None,
    is_cleared: bool = False,
    **ports: object,
) -> list[str]:
    """What user messages become; each but the last has been answered."""
    messages: list[Message] = []
    for text in texts:
        messages += [Message(Role.USER, text), Message(Role.ASSISTANT, "answer @file:a.py")]
    place = Place(None if folder is None else str(folder))
    world = ports_of(**{"context_files": WorkspaceFiles(), **ports})
    found = await attach(
        world, place, messages[:-1], given or Given(), lasting or Given(), is_cleared=is_cleared
    )
    assert [m.content for m in found[1::2]] == ["answer @file:a.py"] * (len(texts) - 1)
    return [m.content for m in found[::2]]


async def refusal(folder: Path | None, *texts: str, **given: Given | None) -> Problem:
    """Why a message is not sent."""
    with pytest.raises(Problem) as refused:
        await sent(folder, *texts, **given)  # type: ignore[arg-type]
    assert SECRET not in refused.value.message
    return refused.value


# --- files --------------------------------------------------------------------------------------------------


async def test_a_message_without_context_is_sent_as_it_is(folder: Path) -> None:
    """Nothing is added to it, and the disk is not touched."""
    assert await sent(folder, "hello `@selection`", context_files=None) == ["hello `@selection`"]


@pytest.mark.parametrize("end", ["", "@selection"], ids=["no mention", "one at the end"])
async def test_a_long_message_holds_nobody_up(folder: Path, end: str) -> None:
    """While mentions are looked for in ten megabytes, others have their turn all the while.

    What is measured is work of this process, from one turn to the next: the same on a busy machine.
    """
    begin = latest = process_time()
    looking = asyncio.ensure_future(
        sent(folder, "a `b` \\@selection\n\n" * 600_000 + end, given=Given(SELECTION))
    )
    longest = 0.0
    while not looking.done():
        await asyncio.sleep(0)
        longest, latest = max(longest, process_time() - latest), process_time()
    assert longest < (latest - begin) / 4  # nearly all of it, were it done at once
    assert len(looking.result()) == 1


async def test_files_follow_the_text(folder: Path) -> None:
    """Each file once, however it is named, in the order of the mentions, whole or by lines."""
    text = 'compare @file:a.py#L2-L3 with @file:"my notes.md" and @file:a.py#L2-L3, @file:./link.py#L2-L3'
    (folder / "link.py").symlink_to("a.py")
    (content,) = await sent(folder, text)
    assert content == (
        f"{text}\n\nFile `a.py`, lines 2 to 3:\n```py\ntwo\nthree\n```\n\n"
        "File `my notes.md`:\n```md\nnotes\n```"
    )


async def test_unsaved_text_wins(folder: Path) -> None:
    """What stands in the editor goes along, also of a file that is not on the disk yet."""
    texts = {str(folder / "a.py"): "unsaved\n", str(folder / "new.py"): "new\nfile"}
    contents = await sent(folder, "@file:a.py @file:new.py#L2", open_texts=Open(texts))
    assert contents[0].endswith("```py\nunsaved\n```\n\nFile `new.py`, line 2:\n```py\nfile\n```")


async def test_an_open_file_with_secrets_is_refused_too(folder: Path) -> None:
    """That it is open in the editor makes no difference."""
    with pytest.raises(Problem, match="hold keys or passwords"):
        await sent(folder, "@file:.env", open_texts=Open({str(folder / ".env"): SECRET}))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("@file:gone.py", "gone.py is not there"),
        ("@file:../x", "outside the workspace folder"),
        ("@file:.env", "hold keys or passwords"),
        ("@file:a.py#L9", "a.py has 4 lines, and line 9 was asked for"),
    ],
)
async def test_what_is_not_there_is_a_problem_now_and_a_note_later(folder: Path, text: str, why: str) -> None:
    """The message that is being sent fails with a remedy; the same in an earlier message is noted there."""
    problem = await refusal(folder, "earlier", text)
    assert problem.kind is Kind.NOT_SUPPORTED
    assert why in problem.message
    assert problem.remedy
    earlier, last = await sent(folder, f"{text} @file:a.py#L1", "and now?")
    head, note = earlier.rsplit("\n\n", 1)
    assert head == f"{text} @file:a.py#L1\n\nFile `a.py`, line 1:\n```py\none\n```"
    assert note.startswith("[")
    assert why in note
    assert note.endswith("]")
    assert last == "and now?"


@pytest.mark.parametrize("mention", ["@selection", "@diagnostics"])
async def test_nothing_selected_is_a_problem_now_and_words_later(folder: Path, mention: str) -> None:
    """The refusal says how it is given; what an earlier message meant, the client has told in its own way."""
    problem = await refusal(folder, "earlier", f"look at {mention}")
    assert problem.kind is Kind.NOT_SUPPORTED
    assert f"that {mention} could mean" in problem.message
    assert await sent(folder, f"look at {mention}", "and now?") == [f"look at {mention}", "and now?"]


async def test_too_much_is_a_problem_now_and_a_note_later(folder: Path) -> None:
    """One file, and all together: the one with which it became too much is named."""
    (folder / "large").write_bytes(b"x" * (MAX_FILE + 1))
    assert (await refusal(folder, "@file:large")).message.startswith("large is larger than 256 KiB.")
    for number in range(5):
        (folder / f"part{number}").write_bytes(b"x" * MAX_FILE)
    every = " ".join(f"@file:part{number}" for number in range(5))
    problem = await refusal(folder, every)
    assert problem.kind is Kind.TOO_LARGE
    assert "with File `part4`" in problem.message
    earlier, _ = await sent(folder, every, "and now?")
    assert "File `part3`:\n" in earlier
    assert "File `part4`:\n" not in earlier
    assert "with File `part4`]" in earlier


async def test_an_open_text_has_the_same_limit(folder: Path) -> None:
    """Unsaved text may be too large as well."""
    large = Open({str(folder / "a.py"): "x" * (MAX_FILE + 1)})
    with pytest.raises(Problem, match=r"a\.py is larger"):
        await sent(folder, "@file:a.py", open_texts=large)


async def test_only_user_messages_mention(folder: Path) -> None:
    """What a model or the system says is never looked up."""
    messages = [Message(Role.SYSTEM, "@file:a.py"), Message(Role.ASSISTANT, "@selection")]
    assert await attach(ports_of(), Place(str(folder)), messages) == tuple(messages)


# --- what a client gives ------------------------------------------------------------------------------------


async def test_all_that_is_given_goes_along(folder: Path) -> None:
    """Mentioned or not, once, with the last message; an earlier one has none of it."""
    given = Given(SELECTION, (str(folder / "a.py"), str(folder / "a.py")[:-4] + "my notes.md"), (
        Diagnostic(str(folder / "a.py"), 1, Severity.ERROR, "wrong"),
        Diagnostic("untitled:x", 0, Severity.HINT, "odd"),
        Diagnostic(str(folder / ".env"), 0, Severity.WARNING, "shadowed"),
    ))  # fmt: skip
    earlier, last = await sent(folder, "first", "explain @selection and @file:a.py", given=given)
    assert earlier == "first"
    assert last == (
        f"explain @selection and @file:a.py\n\n{SELECTED}\n\n"
        "File `a.py`:\n```py\none\ntwo\nthree\n```\n\n"
        "File `my notes.md`:\n```md\nnotes\n```\n\n"
        "Diagnostics:\n```\na.py:2 error: wrong\nuntitled:x:1 hint: odd\n"
        f"{folder}/.env:1 warning: shadowed\n```"
    )


async def test_a_selection_is_read_where_its_text_is_missing(folder: Path) -> None:
    """From the file, inside the folder only."""
    (content,) = await sent(folder, "look", given=Given(Selection("a.py", 1, 1)))
    assert content == "look\n\nSelection in `a.py`, line 2:\n```py\ntwo\n```"
    problem = await refusal(folder, "look", given=Given(Selection("/elsewhere/a.py", 1, 1)))
    assert "outside the workspace folder" in problem.message


async def test_a_selection_of_a_document_without_a_path(folder: Path) -> None:
    """Unsaved documents have a selection too."""
    (content,) = await sent(None, "look", given=Given(Selection("untitled:Untitled-1", 0, 1, "x")))
    assert content == "look\n\nSelection in `untitled:Untitled-1`, line 1:\n```\nx\n```"
    assert await sent(folder, "no @selection?", "yes", given=Given(Selection("untitled:1", 0, 1, "x"))) == [
        "no @selection?",
        "yes\n\nSelection in `untitled:1`, line 1:\n```\nx\n```",
    ]


async def test_a_selection_in_a_file_with_secrets(folder: Path) -> None:
    """Its text is refused even though the editor has sent it along."""
    problem = await refusal(folder, "look", given=Given(Selection(str(folder / ".env"), 0, 1, SECRET)))
    assert "hold keys or passwords" in problem.message


@pytest.mark.parametrize(
    "path",
    [
        "vscode-vfs://host/ws/.env",
        "untitled:.npmrc",
        "ssh://host/.ssh/config",
        "vscode-vfs://host/ws/%2Eenv",
        'git:/ws/.env?{"path":"/ws/.env","ref":"~"}',
        "git:/ws/.env?%7B%22path%22%3A%22%2Fws%2F.env%22%7D",
        "fugitive:///ws/.git//0/.env#L1",
    ],
)
async def test_a_selection_of_a_document_with_secrets_elsewhere(folder: Path, path: str) -> None:
    """The name of a document that is no file here counts as well."""
    problem = await refusal(folder, "look", given=Given(Selection(path, 0, 1, SECRET)))
    assert "hold keys or passwords" in problem.message


async def test_a_private_key_under_any_name(folder: Path) -> None:
    """Neither from the disk, nor from the editor, nor as a selection."""
    key = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n"
    (folder / "notes.md").write_text(key, encoding="utf-8")
    assert "it is a private key" in (await refusal(folder, "@file:notes.md#L2")).message
    selection = Selection(str(folder / "a.py"), 0, 2, key)
    assert "it is a private key" in (await refusal(folder, "look", given=Given(selection))).message
    with pytest.raises(Problem, match="it is a private key"):
        await sent(folder, "@file:a.py#L2", open_texts=Open({str(folder / "a.py"): key}))
    for file, opened in (("notes.md", {}), ("a.py", {str(folder / "a.py"): key})):
        inner = Given(Selection(str(folder / file), 1, 2, SECRET))
        with pytest.raises(Problem, match="it is a private key"):
            await sent(folder, "look", given=inner, open_texts=Open(opened))


async def test_a_selection_has_the_limit_of_a_file(folder: Path) -> None:
    """It is named."""
    large = Selection(str(folder / "a.py"), 0, 1, "x" * (MAX_FILE + 1))
    assert (await refusal(folder, "look", given=Given(large))).message.startswith("a.py is larger")


async def test_what_belongs_to_the_whole_conversation(folder: Path) -> None:
    """It goes where it is mentioned, in earlier messages too; else along with the first."""
    given = Given(SELECTION, (), (Diagnostic("untitled:x", 0, Severity.HINT, "odd"),))
    odd = "Diagnostics:\n```\nuntitled:x:1 hint: odd\n```"
    assert await sent(folder, "one", "two", lasting=given) == [
        f"one\n\n{SELECTED}\n\n{odd}",
        "two",
    ]
    assert await sent(folder, "one", "@selection", "three", lasting=given) == [
        f"one\n\n{odd}",
        f"@selection\n\n{SELECTED}",
        "three",
    ]


async def test_what_is_given_now_is_apart_from_what_belongs_to_the_conversation(folder: Path) -> None:
    """It goes along with the last message, and must be there; what is mentioned there means both."""
    odd, hint = (Diagnostic(f"untitled:{n}", 0, Severity.HINT, n) for n in ("odd", "hint"))
    lasting, given = Given(SELECTION, (), (odd,)), Given(None, ("a.py",), (hint,))
    file = "File `a.py`:\n```py\none\ntwo\nthree\n```"
    lines = ["untitled:odd:1 hint: odd", "untitled:hint:1 hint: hint"]
    one, two = [f"Diagnostics:\n```\n{line}\n```" for line in lines]
    both = "Diagnostics:\n```\n{}\n{}\n```".format(*lines)
    assert await sent(folder, "1", "2", given=given, lasting=lasting) == [
        f"1\n\n{SELECTED}\n\n{one}",
        f"2\n\n{file}\n\n{two}",
    ]
    assert await sent(folder, "1", "@diagnostics", given=given, lasting=lasting) == [
        f"1\n\n{SELECTED}",
        f"@diagnostics\n\n{both}\n\n{file}",
    ]
    assert await sent(folder, "1", given=given, lasting=lasting) == [f"1\n\n{SELECTED}\n\n{file}\n\n{both}"]
    assert await sent(folder, "1", given=given, lasting=lasting, is_cleared=True) == [f"1\n\n{file}\n\n{two}"]
    missing = Given(None, ("gone.py",))
    assert "gone.py is not there" in (await refusal(folder, "1", "2", given=missing, lasting=lasting)).message


async def test_what_goes_along_without_a_mention_may_be_less_than_is_given(folder: Path) -> None:
    """What is given goes where it is mentioned all the same."""
    given = Given(SELECTION)
    for text, expected in (("one", "one"), ("@selection", f"@selection\n\n{SELECTED}")):
        assert await sent(folder, text, lasting=given, is_cleared=True) == [expected]
