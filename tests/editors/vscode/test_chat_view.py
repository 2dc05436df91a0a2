"""The chat view as somebody uses it: by keyboard alone, out of sight, and with an answer that means harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canary import canary
from editors.vscode.asking import streams

if TYPE_CHECKING:
    from editors.vscode.windows import Windows
    from scene import Scene

ENDLESS = {"tokens": 100_000, "token_interval": 0.05}
BEGINNING = "1 2 3 4 5 6 7 8 9 10"
BRIEF = {"tokens": None, "token_interval": 0.0}
CODE = "Put this in:\n\n```python\nprint('from the answer')\n```\n\nThat is all."
HARM = """[a](command:workbench.action.quit) [b](javascript:alert(1)) [c](https://user@example.com)
<img src=x onerror=alert(1)> ![d](https://example.com/pixel.png)

<iframe srcdoc="x"></iframe>

That is all."""
# What the page may do by itself. Each is refused by its policy, whoever asks.
ATTEMPTS = """async () => {
  const attempts = {
    markup: () => { document.body.innerHTML += "<b>x</b>"; },
    request: () => fetch("https://example.com/"),
    image: () => new Promise((resolve, reject) => {
      const image = Object.assign(new Image(), { onload: resolve, onerror: reject });
      image.src = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
    }),
    script: () => new Promise((resolve, reject) => {
      const script = Object.assign(document.createElement("script"), { onload: resolve, onerror: reject });
      script.src = document.scripts[document.scripts.length - 1].src;
      document.body.append(script);
    }),
    code: () => eval("1"),  // last: a browser that is driven lets it pass until something was waited for
  };
  const done = [];
  for (const [name, attempt] of Object.entries(attempts)) {
    try { await attempt(); done.push(name); } catch {}
  }
  return done;
}"""


async def test_a_question_about_a_selection_by_keyboard_alone(scene: Scene, windows: Windows) -> None:
    """What is selected goes along; the answer's code is reached by Tab, and lands at the cursor."""
    key = canary("VS Code: by keyboard")
    scene.provider.configure(keys=[key], reply=CODE)
    folder = scene.folder("ws", scene.pair(key))
    (folder / "a.py").write_text("first\nsecond\nlast\n", encoding="utf-8")
    window = await windows.open(folder)
    await window.open_file(folder / "a.py")
    keyboard = window.page.keyboard
    await window.editor.click()
    await keyboard.press("Control+Home")
    await keyboard.press("Shift+ArrowDown")
    await keyboard.press("Shift+ArrowDown")
    await window.command("Qwen: Ask About Selection")
    await window.chat.frame.get_by_text("a.py, lines 1 to 2").wait_for()
    await window.chat.frame.locator("textarea:focus").wait_for()
    await keyboard.type("What is this?")
    await keyboard.press("Enter")
    await window.chat.answered("That is all.")
    (asked,) = streams(scene)[-1]["json"]["messages"]
    assert asked["content"].startswith("What is this?\n\nSelection in `a.py`, lines 1 to 2:")
    assert "first\nsecond\n" in asked["content"]

    insert = window.chat.frame.locator("button:focus", has_text="Insert")
    for _ in range(4):  # from the input back over the code, which scrolls, to its buttons
        if not await insert.count():
            await keyboard.press("Shift+Tab")
    await insert.wait_for()
    await keyboard.press("Enter")
    await window.editor.get_by_text("from the answer").wait_for()
    await window.editor.get_by_text("second").wait_for(state="detached")
    await window.editor.get_by_text("last").wait_for()


async def test_an_answer_that_goes_on_out_of_sight(scene: Scene, windows: Windows) -> None:
    """It is whole when the view is shown again, with the draft; Escape stops it; a reload keeps it."""
    key = canary("VS Code: out of sight")
    scene.provider.configure(keys=[key], **ENDLESS)
    window = await windows.open(scene.folder("ws", scene.pair(key)))
    await window.command("Qwen: Open Chat")
    await window.chat.send("Count for ever")
    await window.chat.answer.filter(has_text="10 11").wait_for()
    await window.chat.draft.fill("a draft")
    await window.command("View: Show Explorer")
    await window.page.locator("iframe.webview.ready").wait_for(state="detached")
    await window.command("Qwen: Open Chat")
    await window.chat.answer.filter(has_text=f"{BEGINNING} 11 12 13 14 15").wait_for()
    assert await window.chat.draft.input_value() == "a draft"
    await window.chat.draft.press("Escape")
    await window.chat.turn.get_by_text("Stopped").wait_for()

    await window.reload()
    await window.chat.answer.filter(has_text=BEGINNING).wait_for()
    scene.provider.configure(**BRIEF, reply="I am here.")
    await window.chat.send("And now?")
    await window.chat.answered("I am here.")
    roles = [message["role"] for message in streams(scene)[-1]["json"]["messages"]]
    assert roles == ["user", "assistant", "user"]


async def test_an_answer_that_means_harm(scene: Scene, windows: Windows) -> None:
    """Nothing of it can be followed or is loaded, and the page could not do so if it were told to."""
    key = canary("VS Code: harm")
    scene.provider.configure(keys=[key], reply=HARM)
    window = await windows.open(scene.folder("ws", scene.pair(key)))
    asked: list[str] = []
    window.context.on("request", lambda request: asked.append(request.url))
    await window.command("Qwen: Open Chat")
    await window.chat.send("Hello")
    await window.chat.answered("That is all.")
    await window.screenshot("harmless")
    assert await window.chat.answer.locator("a, img, iframe").count() == 0
    assert "command:workbench.action.quit" in await window.chat.answer.locator("code").all_inner_texts()
    assert await window.chat.frame.locator("html").evaluate(ATTEMPTS) == []
    assert not [url for url in asked if "example.com" in url]
