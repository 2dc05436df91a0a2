"""The sign-in page: one file, no script, nothing fetched from anywhere."""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qwen_ls.demo.oauth import State

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · embedded provider</title>
<style>
:root {{ color-scheme: light dark; --edge: #8886; --go: #0b6b3a; --stop: #a3262a; }}
body {{ font: 1.05rem/1.5 system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid; place-items: center; }}
main {{ max-width: 26rem; margin: 1rem; padding: 1.5rem 2rem; border: 1px solid var(--edge); border-radius: .75rem; }}
h1 {{ font-size: 1.4rem; margin: 0 0 .5rem; }}
.code {{ font: 600 1.8rem/1.2 ui-monospace, monospace; letter-spacing: .15em; text-align: center; display: block;
  padding: .75rem; margin: 1rem 0; border: 1px dashed var(--edge); border-radius: .5rem; }}
input {{ font: inherit; padding: .5rem; width: 100%; box-sizing: border-box; margin: .25rem 0 1rem; }}
.row {{ display: flex; gap: .75rem; }}
button {{ font: inherit; font-weight: 600; flex: 1; padding: .6rem 1rem; border: 0; border-radius: .5rem;
  color: #fff; background: var(--go); cursor: pointer; }}
button.stop {{ background: var(--stop); }}
:focus-visible {{ outline: 3px solid #3b82f6; outline-offset: 2px; }}
footer {{ font-size: .85rem; opacity: .8; margin-top: 1.25rem; border-top: 1px solid var(--edge); padding-top: .75rem; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{content}
<footer>This page belongs to the demo provider on this machine. It is neither qwen.ai nor openrouter.ai, and no account is touched.</footer>
</main>
</body>
</html>
"""  # noqa: E501 - the rules of a style sheet are read one to a line


def message(title: str, text: str) -> str:
    """Render a page that only says something."""
    return _FRAME.format(title=escape(title), content=f'<p role="status">{escape(text)}</p>')


def enter_code() -> str:
    """Render the question for the code, for somebody who came without one."""
    content = """<form method="get" action="/authorize">
<label for="user_code">The code your editor shows</label>
<input id="user_code" name="user_code" required autofocus autocomplete="off" autocapitalize="characters">
<div class="row"><button>Continue</button></div>
</form>"""
    return _FRAME.format(title="Sign in", content=content)


def approve(user_code: str) -> str:
    """Render the question whether the sign-in under this code may go on."""
    code = escape(user_code)
    content = f"""<p>A program asks to use models in your name. Go on only if it shows this code:</p>
<strong class="code">{code}</strong>
<form method="post" action="/authorize">
<input type="hidden" name="user_code" value="{code}">
<div class="row">
<button name="decision" value="approve">Approve</button>
<button name="decision" value="deny" class="stop">Deny</button>
</div>
</form>"""
    return _FRAME.format(title="Sign in to Qwen", content=content)


def connect(host: str) -> str:
    """Render the question whether a program that listens at `host` may have a key."""
    content = f"""<p>A program on this machine ({escape(host)}) asks for an API key in your name.</p>
<form method="post">
<div class="row">
<button name="decision" value="approve">Approve</button>
<button name="decision" value="deny" class="stop">Deny</button>
</div>
</form>"""
    return _FRAME.format(title="Connect to OpenRouter", content=content)


def for_state(state: State | None, user_code: str) -> tuple[HTTPStatus, str]:
    """Render where a sign-in stands; None is a code that was never given out."""
    match state:
        case "waiting":
            return HTTPStatus.OK, approve(user_code)
        case "approved":
            text = "Go back to your editor: it goes on by itself."
            return HTTPStatus.OK, message("You are signed in", text)
        case "denied":
            text = "Nothing was given out. You can close this page."
            return HTTPStatus.OK, message("Sign-in refused", text)
        case "expired":
            text = "This code is too old. Start the sign-in again in your editor."
            return HTTPStatus.GONE, message("Code expired", text)
        case None:
            text = "There is no such code here. Compare it with the one your editor shows."
            return HTTPStatus.NOT_FOUND, message("Unknown code", text)
