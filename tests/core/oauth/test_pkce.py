"""qwen_ls.core.oauth.pkce: Proof Key for Code Exchange (RFC 7636)."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from qwen_ls.core.oauth.pkce import VERIFIER_BYTES, code_challenge, code_verifier

# RFC 7636, appendix B
OCTETS = bytes.fromhex("7418dfb49799e0254ffa607dd8adbbba16d4254d69d6bff05b58055853848d79")
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_the_example_of_the_rfc() -> None:
    """Appendix B: octets, verifier and challenge."""
    assert code_verifier(OCTETS) == VERIFIER
    assert code_challenge(VERIFIER) == CHALLENGE


@given(st.binary(min_size=VERIFIER_BYTES, max_size=VERIFIER_BYTES))
def test_a_verifier_is_allowed(entropy: bytes) -> None:
    """Section 4.1: 43 to 128 unreserved characters; the challenge has the shape of section 4.2."""
    verifier = code_verifier(entropy)
    assert re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", code_challenge(verifier))


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_verifiers_differ_as_their_entropy_does(one: bytes, other: bytes) -> None:
    """No entropy is lost on the way, nor in the challenge."""
    assert (code_verifier(one) == code_verifier(other)) is (one == other)
    assert (code_challenge(code_verifier(one)) == code_challenge(code_verifier(other))) is (one == other)
