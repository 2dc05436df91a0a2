"""qwen_ls.core.origin: which base URLs are refused, and when a secret may go where."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.origin import (
    CATALOGUE_ORIGINS,
    BaseUrl,
    Claim,
    ConsentKey,
    ConsentNeeded,
    Decision,
    Origin,
    Policy,
    WorkspaceTrust,
    ask_again,
    authorize,
    parse_base_url,
    read_base_url,
)
from qwen_ls.core.provenance import USER, Source, SourceKind, Tier, Value
from qwen_ls.core.providers import CATALOGUE, LOCAL_SERVERS, QWEN_PORTAL
from qwen_ls.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

GOOD = [
    ("https://api.openai.com/v1", "https", "api.openai.com", 443, "/v1"),
    ("https://api.openai.com/v1/", "https", "api.openai.com", 443, "/v1"),
    ("https://api.openai.com/v1///", "https", "api.openai.com", 443, "/v1"),
    ("HTTPS://API.OpenAI.com/v1", "https", "api.openai.com", 443, "/v1"),
    ("https://api.deepseek.com", "https", "api.deepseek.com", 443, ""),
    ("https://h", "https", "h", 443, ""),
    ("https://h/", "https", "h", 443, ""),
    ("https://h:443/v1", "https", "h", 443, "/v1"),
    ("https://h:/v1", "https", "h", 443, "/v1"),
    ("https://h:08443/v1", "https", "h", 8443, "/v1"),
    ("https://h:1/v1", "https", "h", 1, "/v1"),
    ("https://h:65535/v1", "https", "h", 65535, "/v1"),
    ("https://my-host.example/a/b/c", "https", "my-host.example", 443, "/a/b/c"),
    ("https://my_host.example/v1", "https", "my_host.example", 443, "/v1"),
    ("https://1host.example/v1", "https", "1host.example", 443, "/v1"),
    ("https://xn--bcher-kva.example/v1", "https", "xn--bcher-kva.example", 443, "/v1"),
    ("https://h/Path.With.Dots/v1.0", "https", "h", 443, "/Path.With.Dots/v1.0"),
    ("https://h/~user/v1", "https", "h", 443, "/~user/v1"),
    ("https://h/a;b=c/v1", "https", "h", 443, "/a;b=c/v1"),
    ("https://h/...", "https", "h", 443, "/..."),
    ("https://h//v1", "https", "h", 443, "//v1"),
    ("https://h/a:b/v1", "https", "h", 443, "/a:b/v1"),
    ("https://10.1.2.3/v1", "https", "10.1.2.3", 443, "/v1"),
    ("https://192.168.0.1:8443/v1", "https", "192.168.0.1", 8443, "/v1"),
    ("https://[2001:db8::1]/v1", "https", "2001:db8::1", 443, "/v1"),
    ("https://[2001:DB8:0:0::0001]:8443/v1", "https", "2001:db8::1", 8443, "/v1"),
    ("http://127.0.0.1:11434/v1", "http", "127.0.0.1", 11434, "/v1"),
    ("http://127.0.0.1/v1", "http", "127.0.0.1", 80, "/v1"),
    ("http://127.255.255.254:1/v1", "http", "127.255.255.254", 1, "/v1"),
    ("http://localhost:8080/v1", "http", "localhost", 8080, "/v1"),
    ("http://LOCALHOST/v1", "http", "localhost", 80, "/v1"),
    ("http://[::1]:8000/v1", "http", "::1", 8000, "/v1"),
    ("http://[0:0:0:0:0:0:0:1]:8000/v1", "http", "::1", 8000, "/v1"),
    ("https://127.0.0.1:8443/v1", "https", "127.0.0.1", 8443, "/v1"),
    ("https://resource.openai.azure.com/openai/v1", "https", "resource.openai.azure.com", 443, "/openai/v1"),
    ("https://a.b.c.d.e.f.g.example/v1", "https", "a.b.c.d.e.f.g.example", 443, "/v1"),
    ("https://" + "a" * 63 + ".example/v1", "https", "a" * 63 + ".example", 443, "/v1"),
    ("https://h/" + "a" * 2000, "https", "h", 443, "/" + "a" * 2000),
    ("https://localhost.example/v1", "https", "localhost.example", 443, "/v1"),
    ("https://a--b.example/v1", "https", "a--b.example", 443, "/v1"),
]

# fmt: off
HOSTILE = [
    # no URL of ours at all
    "", " ", "h", "h/v1", "//h/v1", "/v1", "https", "https:", "https:/", "https://", "https:///v1",
    "https:h/v1", "https:/h/v1", "https:///h/v1", "://h", "https//h/v1", "ttps://h", "httpss://h",
    "https://:443/v1", "ftp://h/v1", "file:///etc/passwd", "javascript:alert(1)", "data:,x", "ws://h/v1",
    "wss://h/v1", "vscode://h/v1", "unix:///run/x.sock", "http+unix://x/v1", "https+x://h/v1", "None",
    "${OPENAI_BASE_URL}",
    # userinfo: the host is not what it looks like
    "https://good.example@evil.example/v1", "https://user:pass@h/v1", "https://user@h/v1", "https://@h/v1",
    "https://:@h/v1", "https://good.example:443@evil.example/v1", "https://h/v1@x", "https://a@b@c/v1",
    "http://127.0.0.1@evil.example/v1", "http://localhost:80@evil.example/v1",
    # a backslash is a slash to some
    "https://good.example\\@evil.example/v1", "https://evil.example\\.good.example/v1", "https:\\\\h\\v1",
    "https://h\\v1", "https://h/\\evil.example", "\\\\h\\v1", "https://\\h",
    # encoded characters, in the host and in the path
    "https://h%0d%0aX-Evil:1/v1", "https://h/v1%0d%0aX-Evil:%201", "https://h%2eexample/v1",
    "https://%68/v1", "https://h/%2e%2e/v1", "https://h/a%2fb", "https://h/%00",
    "https://evil.example%23.good.example/v1", "https://h%", "https://[fe80::1%25eth0]/v1",
    "https://[::1%lo]/v1", "https://h/100%",
    # control characters and blanks
    "https://h/v1\n", "\nhttps://h/v1", "https://h/v1\r\nX-Evil: 1", "https://h/\tv1", "ht\ntps://h/v1",
    "https://ev\til/v1", "https://h/v1\x00", "https://h\x00.good.example/v1", "https://h/\x1b[2J",
    "https://h/\x7f", " https://h/v1", "https://h/v1 ", "https:// h/v1", "https://h /v1", "https://h/v 1",
    "https://h/v1\x0b", "https://h/\x85", "https://h/\u2028v1", "https://h\u200b/v1", "https://h/v1\ufeff",
    "\ufeffhttps://h/v1",
    # names that look like others
    "https://\u043epenai.com/v1", "https://bücher.example/v1", "https://api\u3002openai\u3002com/v1",
    "https://\uff48/v1", "https://\u24d0pi.openai.com/v1", "https://faß.example/v1", "https://h/é",
    "https://h/☃", "https://\uff11\uff12\uff17.0.0.1/v1",
    # a trailing dot, empty labels, hyphens first
    "https://api.openai.com./v1", "https://h./v1", "https://h../v1", "https://./v1", "https://../v1",
    "https://.h/v1", "https://a..b/v1", "https://-h/v1", "https://a.-b/v1", "http://localhost./v1",
    "http://127.0.0.1./v1", "https://" + "a" * 64 + ".example/v1", "https://*.example/v1",
    "https://h,evil/v1", "https://h'/v1", "https://h;evil/v1", "https://(h)/v1", "https://h!/v1",
    "https://$h/v1", "https://a&b/v1", "https://a=b/v1", "https://a+b/v1", "https://<h>/v1",
    'https://"h"/v1', "https://{resource}.h/v1", "https://a|b/v1", "https://a^b/v1", "https://a`b/v1",
    "https://~h/v1",
    # other spellings of IPv4 addresses
    "http://0x7f.1/v1", "http://0x7f000001/v1", "http://2130706433/v1", "http://017700000001/v1",
    "http://127.1/v1", "http://127.0.1/v1", "http://0177.0.0.1/v1", "http://127.0.0.01/v1", "http://0/v1",
    "https://2852039166/v1", "https://0xa9fea9fe/v1", "https://0xa9.0xfe.0xa9.0xfe/v1", "https://1.2.3/v1",
    "https://1.2.3.4.5/v1", "https://256.1.1.1/v1", "https://999/v1", "https://h.1/v1", "https://h.0x1/v1",
    "https://1.2.3.0x4/v1", "https://0x/v1",
    # link-local, metadata, unspecified; and IPv4 inside IPv6
    "http://169.254.169.254/v1", "https://169.254.169.254/v1", "https://169.254.0.1/v1",
    "https://[fe80::1]/v1", "https://[::ffff:169.254.169.254]/v1", "https://[::ffff:a9fe:a9fe]/v1",
    "http://[::ffff:127.0.0.1]/v1", "https://[::ffff:1.2.3.4]/v1", "https://[64:ff9b::a9fe:a9fe]/v1",
    "https://[2002:a9fe:a9fe::1]/v1", "https://[2001:0:a9fe:a9fe::1]/v1", "https://[fd00:ec2::254]/v1",
    "https://[fd00:0ec2:0:0::254]/v1", "https://[fd20:ce::254]/v1", "https://100.100.100.200/v1",
    "https://192.0.0.192/v1", "https://0.0.0.0/v1", "http://0.0.0.0:8080/v1", "https://[::]/v1",
    "https://metadata.google.internal/v1", "https://metadata/v1",
    "https://METADATA.google.internal/computeMetadata/v1", "https://metadata.goog/v1",
    "https://instance-data/v1",
    # brackets
    "https://[::1/v1", "https://::1]/v1", "https://::1/v1", "https://[]/v1", "https://[h]/v1",
    "https://[v1.x]/v1", "https://[::1]evil.example/v1", "https://evil.example[::1]/v1",
    "https://[::1]:x/v1", "https://]h[/v1", "https://[127.0.0.1]/v1", "http://[127.0.0.1]:80/v1",
    "https://[1:2:3:4:5:6:7:8:9]/v1", "https://[::g]/v1", "https://[[::1]]/v1", "https://h/[::1]",
    "https://[::1].good.example/v1",
    # ports
    "https://h:0/v1", "https://h:65536/v1", "https://h:99999/v1", "https://h:-1/v1", "https://h:+1/v1",
    "https://h:x/v1", "https://h:443x/v1", "https://h:4 43/v1", "https://h:1_0/v1", "https://h:0x1bb/v1",
    "https://h:000443/v1", "https://h:443:80/v1", "https://h:\u0663/v1", "https://h:1e3/v1",
    "https://h:443.0/v1",
    # query, fragment, dot segments, length
    "https://h/v1?key=x", "https://h?x", "https://h/v1?", "https://h/v1#x", "https://h#@evil.example/v1",
    "https://h#", "https://h/v1#", "https://h/?/../v1", "https://h/../v1", "https://h/a/../../b",
    "https://h/.", "https://h/./v1", "https://h/v1/..", "https://h/v1/.", "https://h/..;/v1",
    "https://h/a/..;x=y/b", "https://h/.;/v1", "https://h/" + "a" * 9216,
    "https://" + "a." * 4608 + "example/v1", "h" * 9216, "https://h/" + "a/" * 1024,
    # http to anywhere else
    "http://api.openai.com/v1", "http://10.0.0.5:8080/v1", "http://192.168.1.2/v1",
    "http://[2001:db8::1]/v1", "http://localhost.example/v1", "http://127.0.0.1.example/v1",
    "http://128.0.0.1/v1", "http://[::2]/v1", "http://126.255.255.255/v1", "http://my-localhost/v1",
    "http://ip6-localhost/v1", "http://[fe80::1]/v1",
]
# fmt: on


def test_the_table_is_large_enough() -> None:
    """At least 150 addresses, each once."""
    everything = [*HOSTILE, *(row[0] for row in GOOD)]
    assert len(everything) == len(set(everything)) >= 150


@pytest.mark.parametrize(("text", "scheme", "host", "port", "path"), GOOD)
def test_a_good_base_url(text: str, scheme: str, host: str, port: int, path: str) -> None:
    """Its parts, in comparable form; and what comes of it reads the same again."""
    url = parse_base_url(text, "a test")
    assert url == BaseUrl(Origin(scheme, host, port), path)
    assert parse_base_url(str(url), "a test") == url


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_base_url_is_refused(text: str) -> None:
    """Refused as untrusted, in one line that names the place and repeats nothing hidden in the URL."""
    with pytest.raises(Problem) as caught:
        parse_base_url(text, "OPENAI_BASE_URL at /p/.env:3")
    assert caught.value.kind is Kind.UNTRUSTED_ORIGIN
    message = str(caught.value)
    assert "(OPENAI_BASE_URL at /p/.env:3)" in message
    assert message.isprintable()
    assert "pass@" not in message
    assert "key=x" not in message


def connected(text: str) -> tuple[str, str, int]:
    """Where httpx would connect to for a base URL: scheme, host, port."""
    url = httpx.URL(text + "/chat/completions")
    host = url.raw_host.decode()
    with contextlib.suppress(ValueError):
        host = str(ipaddress.ip_address(host))
    return url.scheme, host, url.port or {"https": 443, "http": 80}[url.scheme]


AUTHORITY = st.one_of(
    st.text(st.sampled_from("aAz09.-_:@%[]/\\?#; \t\n\x00éß\u3002\uff11\uff10x127"), max_size=24),
    st.from_regex(r"[a-z0-9.-]{1,12}(:[0-9]{0,6})?", fullmatch=True),
    st.ip_addresses().map(lambda a: f"[{a}]" if a.version == 6 else str(a)),
    st.lists(
        st.sampled_from(["0x7f", "127", "1", "0", "010", "256", "a", "localhost", "xn--a"]), max_size=5
    ).map(".".join),
)
URLS = st.one_of(
    st.text(max_size=40),
    st.builds(
        lambda scheme, authority, path: f"{scheme}{authority}{path}",
        st.sampled_from(
            ["https://", "http://", "HTTPS://", "https:/", "https:", "//", "https:///", "ftp://"]
        ),
        AUTHORITY,
        st.text(st.sampled_from("/v1.;%?#@\\ :a~é\n"), max_size=12),
    ),
)


@settings(max_examples=2000, deadline=None)
@given(URLS)
@example("https://api.openai.com/v1")
@example("https://good.example@evil.example")
@example("https://h:00443")
def test_our_origin_is_where_httpx_connects_to(text: str) -> None:
    """For any text: it is refused, or scheme, host and port are those of the HTTP library."""
    try:
        url = read_base_url(text, "a test")
    except Problem:
        return
    ours = (url.origin.scheme, url.origin.host, url.origin.port)
    assert connected(text.rstrip("/")) == ours
    assert connected(str(url)) == ours
    assert httpx.URL(text.rstrip("/") + "/chat/completions").path == url.path + "/chat/completions"


@pytest.mark.parametrize("row", GOOD, ids=lambda row: row[0][:40])
def test_the_table_agrees_with_httpx(row: tuple[str, str, str, int, str]) -> None:
    """The oracle of the fuzz, on the rows that are known to be right."""
    assert connected(row[0].rstrip("/")) == row[1:4]


def test_insecure_origins_are_exact() -> None:
    """Plain http beyond loopback only to an origin the user named, port and all; never to link-local ones."""
    allowed = ("http://llm.lan:8080", "http://10.0.0.5", "http://169.254.169.254")
    assert str(parse_base_url("http://llm.lan:8080/v1", "x", allowed)) == "http://llm.lan:8080/v1"
    assert str(parse_base_url("http://10.0.0.5:80/v1", "x", allowed)) == "http://10.0.0.5/v1"
    for other in (
        "http://llm.lan/v1",
        "http://llm.lan:8081/v1",
        "http://x.llm.lan:8080/v1",
        "http://10.0.0.5:8080/v1",
        "http://169.254.169.254/v1",
    ):
        with pytest.raises(Problem):
            parse_base_url(other, "x", allowed)


def test_origins_read_as_text() -> None:
    """The default port is left out, IPv6 gets its brackets back."""
    assert str(Origin("https", "h", 443)) == "https://h"
    assert str(Origin("http", "h", 443)) == "http://h:443"
    assert str(Origin("http", "::1", 80)) == "http://[::1]"


def url(text: str) -> BaseUrl:
    """A base URL that is known to be good."""
    return parse_base_url(text, "a test")


@pytest.mark.parametrize(
    ("own", "other", "covered"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1", True),
        ("https://api.openai.com/v1", "https://api.openai.com", True),
        ("https://api.openai.com/v1", "https://api.openai.com/v2", True),
        ("https://api.openai.com/v1", "https://api.openai.com:8443/v1", False),
        ("https://api.openai.com/v1", "https://openai.com/v1", False),
        ("https://api.openai.com/v1", "https://api.openai.com.evil.example/v1", False),
        ("https://dashscope.aliyuncs.com/v1", "https://coding.dashscope.aliyuncs.com/v1", False),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/x", True),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8081/v1", False),
        ("http://127.0.0.1:8080/v1", "http://localhost:8080/v1", False),
        ("https://h/team-a", "https://h/team-a", True),
        ("https://h/team-a", "https://h/team-a/v1", True),
        ("https://h/team-a", "https://h/team-a-b", False),
        ("https://h/team-a", "https://h/team-b", False),
        ("https://h/team-a", "https://h/Team-A", False),
        ("https://h/team-a", "https://h", False),
        ("https://h/a/b", "https://h/a", False),
        ("https://h", "https://h/anything", True),
        ("https://h", "https://h", True),
        ("https://h", "https://other", False),
        ("https://127.0.0.1:8443/a", "https://127.0.0.1:8443/b", False),
    ],
)
def test_covers(own: str, other: str, covered: bool) -> None:  # noqa: FBT001 - a table's column
    """Catalogue hosts by origin; all others by path prefix too, at the boundary of a segment."""
    assert url(own).covers(url(other)) is covered


def test_the_catalogue_is_covered_by_origin() -> None:
    """Every base URL of the catalogue is a catalogue origin; a template is none."""
    for provider in (*CATALOGUE, QWEN_PORTAL, *LOCAL_SERVERS):
        assert all("{" in text or url(text).origin in CATALOGUE_ORIGINS for text in provider.base_urls)
    assert not [o for o in CATALOGUE_ORIGINS if "azure" in o.host]


# --- authorize -----------------------------------------------------------------------------------

CANARY = "sk-canary-7f3a9c5e1b2d4a6f8e0c9b1d"
FILE = "/p/.env"
PROJECT = Tier(FILE)
OPENAI = "https://api.openai.com/v1"
EVIL = "https://evil.example/v1"
IN_PROCESS = Source(SourceKind.ENVIRONMENT, "OPENAI_API_KEY")
IN_FILE = Source(SourceKind.DOTENV, "OPENAI_API_KEY", FILE, 1)
URL_IN_PROCESS = Source(SourceKind.ENVIRONMENT, "OPENAI_BASE_URL")
URL_IN_FILE = Source(SourceKind.DOTENV, "OPENAI_BASE_URL", FILE, 2)
SIGNED = {"Authorization": f"Bearer {CANARY}"}


def value(text: str, tier: Tier) -> Value:
    """A base URL as a tier names it."""
    return Value(text, URL_IN_PROCESS if tier.is_user else URL_IN_FILE, tier)


def claim(
    key: Tier, own: str, base: str, base_tier: Tier, *, pair: bool = False, secret: str | None = CANARY
) -> Claim:
    """A key of one tier, the URL its tier names, and the URL in force with the tier that named it."""
    source = IN_PROCESS if key.is_user else IN_FILE
    held = None if secret is None else Secret(secret)
    return Claim(held, source, key, own, value(base, base_tier), file_has_pair=pair)


def ask(wanted: Claim, policy: Policy | None = None) -> Mapping[str, str]:
    """Authorize the request that a chat makes."""
    return authorize(wanted, wanted.base_url.text.rstrip("/") + "/chat/completions", policy or Policy())


def needed(wanted: Claim, policy: Policy | None = None) -> ConsentNeeded:
    """The question that is asked."""
    with pytest.raises(ConsentNeeded) as caught:
        ask(wanted, policy)
    assert caught.value.kind is Kind.UNTRUSTED_ORIGIN
    assert CANARY not in caught.value.question + str(caught.value) + repr(caught.value)
    return caught.value


def refusal(wanted: Claim, policy: Policy | None = None, kind: Kind = Kind.UNTRUSTED_ORIGIN) -> Problem:
    """The problem of a request that is refused without a question."""
    with pytest.raises(Problem) as caught:
        ask(wanted, policy)
    assert not isinstance(caught.value, ConsentNeeded)
    assert caught.value.kind is kind
    assert CANARY not in str(caught.value)
    return caught.value


def test_a_users_key_goes_to_the_users_url() -> None:
    """Rule 1: key and URL of the user's tier, whatever the workspace."""
    for trust in WorkspaceTrust:
        assert ask(claim(USER, OPENAI, OPENAI, USER), Policy(trust=trust)) == SIGNED
        assert ask(claim(USER, EVIL, EVIL, USER), Policy(trust=trust)) == SIGNED


def test_a_users_key_goes_where_a_file_names_the_same_origin() -> None:
    """Rule 1: a project file that names the URL the user names anyway changes nothing."""
    assert ask(claim(USER, OPENAI, "https://api.openai.com/other", PROJECT)) == SIGNED
    assert ask(claim(USER, "https://h/a", "https://h/a/v1/", PROJECT)) == SIGNED
    needed(claim(USER, "https://h/a", "https://h/b", PROJECT))


def test_a_key_without_a_base_is_not_signed_elsewhere() -> None:
    """The request's own URL must lie under the base URL; nothing else is signed, whatever the policy."""
    wanted = claim(USER, "https://h/a", "https://h/a", USER)
    for target in (
        "https://h/a",
        "https://h/ab/chat",
        "https://h/chat/completions",
        "https://other/a/chat",
        "https://h:8443/a/chat",
        "http://127.0.0.1/a/chat",
        "https://h/a/../b",
        "https://h/a/chat?x=1",
        "https://h@evil.example/a/chat",
    ):
        with pytest.raises(Problem) as caught:
            authorize(wanted, target, Policy(may_mix=True, terminal=True, trust=WorkspaceTrust.TRUSTED))
        assert caught.value.kind is Kind.UNTRUSTED_ORIGIN
    assert authorize(wanted, "https://h/a/models", Policy()) == SIGNED


def test_mixing_asks() -> None:
    """Rule 2: the question names file, host and the key by its fingerprint."""
    need = needed(claim(USER, OPENAI, EVIL, PROJECT, pair=True), Policy(folder="/p"))
    assert FILE in need.question
    assert "evil.example" in need.question
    assert Secret(CANARY).fingerprint in need.question
    assert (need.mixed, need.file_has_pair) == (True, True)
    assert need.key == ConsentKey("/p", FILE, Secret(CANARY).digest, EVIL)


def test_mixing_the_other_way_asks() -> None:
    """Rule 2: a file's key goes to the user's URL only with consent either; trust of the folder is not it."""
    wanted = claim(PROJECT, OPENAI, EVIL, USER)
    for policy in (Policy(), Policy(trust=WorkspaceTrust.TRUSTED), Policy(terminal=True)):
        need = needed(wanted, policy)
        assert FILE in need.question
        assert "evil.example" in need.question


@pytest.mark.parametrize(
    "policy",
    [Policy(trust=WorkspaceTrust.TRUSTED), Policy(terminal=True), Policy(trust=WorkspaceTrust.UNTRUSTED)],
)
def test_only_consent_lets_a_users_key_go_to_a_files_url(policy: Policy) -> None:
    """Rule 2: neither trust nor a terminal is consent, not even for loopback."""
    needed(claim(USER, OPENAI, EVIL, PROJECT), policy)
    needed(claim(USER, OPENAI, "http://127.0.0.1:9/v1", PROJECT), policy)


def decided(answer: Decision, base: str = EVIL, **changes: str) -> Policy:
    """A policy with one remembered answer."""
    key = {"folder": "", "file": FILE, "key_digest": Secret(CANARY).digest, "base_url": base, **changes}
    return Policy(decisions={ConsentKey(**key): answer})


def test_a_remembered_yes() -> None:
    """Rule 2: remembered for folder, file, key and URL; changing any of them asks again."""
    wanted = claim(USER, OPENAI, EVIL, PROJECT)
    assert ask(wanted, decided(Decision.SEND)) == SIGNED
    for change in (
        {"folder": "/other"},
        {"file": "/q/.env"},
        {"key_digest": "0" * 16},
        {"base": "https://evil2.example/v1"},
        {"base": "https://evil.example/v2"},
        {"base": "https://evil.example:8443/v1"},
    ):
        needed(wanted, decided(Decision.SEND, **change))


def test_an_answer_is_remembered_for_the_url_however_it_is_spelled() -> None:
    """A trailing slash or a capital letter is no other host."""
    assert ask(claim(USER, OPENAI, "HTTPS://EVIL.example:443/v1/", PROJECT), decided(Decision.SEND)) == SIGNED


def test_a_remembered_no() -> None:
    """Rule 2: refused without a question; the message says how to change one's mind."""
    problem = refusal(claim(USER, OPENAI, EVIL, PROJECT), decided(Decision.DENY))
    assert "as you decided" in str(problem)
    assert "to be asked again" in problem.remedy
    (again,) = problem.actions
    assert (again.command, again.argument) == ("qwen.trust.forget", {"file": FILE})


@pytest.mark.parametrize(
    ("folder", "file", "argument"),
    [
        ("/a b", "/a b/.env", {"uri": "file:///a%20b", "file": "/a b/.env"}),
        ("/x\udcff", "/x\udcff/.env", {"uri": "file:///x%FF"}),
        ("", "OPENAI_BASE_URL", {"file": "OPENAI_BASE_URL"}),
    ],
)
def test_the_button_that_forgets_an_answer(folder: str, file: str, argument: dict[str, str]) -> None:
    """It names the folder, and the file where a message can carry its name."""
    assert ask_again(ConsentKey(folder, file, "", "")).argument == argument


def test_use_the_files_own_is_no_yes_to_sending_the_users() -> None:
    """The third answer does not let the user's key go."""
    needed(claim(USER, OPENAI, EVIL, PROJECT), decided(Decision.FILE))


def test_a_files_pair_in_an_untrusted_workspace() -> None:
    """Rule 3: refused, whoever says yes; its key to a provider's default too."""
    for policy in (
        Policy(trust=WorkspaceTrust.UNTRUSTED),
        Policy(trust=WorkspaceTrust.UNTRUSTED, terminal=True),
        Policy(trust=WorkspaceTrust.UNTRUSTED, may_mix=True),
        Policy(trust=WorkspaceTrust.UNTRUSTED, decisions=decided(Decision.SEND).decisions),
    ):
        refusal(claim(PROJECT, EVIL, EVIL, PROJECT), policy)
        refusal(claim(PROJECT, OPENAI, OPENAI, USER), policy)
        refusal(
            claim(PROJECT, "http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1", PROJECT, secret=None), policy
        )


def test_a_files_pair_without_a_question() -> None:
    """Rule 3: loopback, a trusted workspace, the terminal."""
    pair = claim(PROJECT, EVIL, EVIL, PROJECT)
    assert ask(pair, Policy(trust=WorkspaceTrust.TRUSTED)) == SIGNED
    assert ask(pair, Policy(terminal=True)) == SIGNED
    for loopback in ("http://127.0.0.1:9/v1", "http://localhost:9/v1", "http://[::1]:9/v1"):
        assert ask(claim(PROJECT, loopback, loopback, PROJECT)) == SIGNED


def test_a_files_pair_where_trust_is_unknown() -> None:
    """Rule 3: asked once, and remembered as in rule 2."""
    pair = claim(PROJECT, EVIL, EVIL, PROJECT)
    need = needed(pair)
    assert (need.mixed, need.file_has_pair) == (False, False)
    assert FILE in need.question
    assert "evil.example" in need.question
    assert ask(pair, decided(Decision.SEND)) == SIGNED
    refusal(pair, decided(Decision.DENY))
    needed(pair, decided(Decision.SEND, base="https://evil2.example/v1"))


def test_a_files_key_to_its_providers_default() -> None:
    """Rule 1: the file names no host, so there is nothing to ask."""
    assert ask(claim(PROJECT, OPENAI, OPENAI, USER)) == SIGNED


def test_headless_mixing() -> None:
    """Rule 4: the flag lets it through; without it the error names both ways out."""
    wanted = claim(USER, OPENAI, EVIL, PROJECT)
    assert ask(wanted, Policy(may_mix=True, terminal=True)) == SIGNED
    need = needed(wanted, Policy(terminal=True))
    assert "--trust-project" in need.remedy
    assert "QWEN_LS_TRUST_PROJECT=1" in need.remedy


@pytest.mark.parametrize(
    "text", ["http://h/v1", "https://u:p@h/v1", "https://169.254.169.254/v1", "nonsense"]
)
def test_a_refused_url_is_refused_for_everyone(text: str) -> None:
    """Rule 5 holds whatever the tier, trust or consent."""
    everything = Policy(trust=WorkspaceTrust.TRUSTED, terminal=True, may_mix=True)
    refusal(claim(USER, text, text, USER), everything)
    refusal(claim(PROJECT, text, text, PROJECT), everything)
    refusal(claim(USER, text, OPENAI, PROJECT), everything)


def test_an_insecure_origin_of_the_user() -> None:
    """Rule 5: an exact origin in the user's settings may be http."""
    lan = claim(USER, "http://llm.lan:8080/v1", "http://llm.lan:8080/v1", USER)
    assert ask(lan, Policy(insecure_origins=("http://llm.lan:8080",))) == SIGNED
    refusal(lan)


def test_a_server_without_a_key_gets_no_header() -> None:
    """No secret, no header; the same rules."""
    assert ask(claim(USER, "http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1", USER, secret=None)) == {}


@pytest.mark.parametrize(
    "text", ["sk-a b", "sk-a\n", "sk-a\r\nX-Evil: 1", "sk-é", "", " ", "sk-\x00", "sk-\udcff"]
)
def test_a_key_that_no_header_can_hold(text: str) -> None:
    """Refused here, naming its place: an HTTP library would quote it in its error."""
    problem = refusal(claim(USER, OPENAI, OPENAI, USER, secret=text), kind=Kind.KEY_REJECTED)
    assert "environment variable OPENAI_API_KEY" in str(problem)
    assert "sk-" not in str(problem)


def test_a_question_is_one_line() -> None:
    """A folder may be named to mislead: control characters and direction marks do not reach the question."""
    odd = Tier("/p/\x1b[31m\u202eexe\nSend it? (yes)/.env")
    source = Source(SourceKind.DOTENV, "OPENAI_BASE_URL", odd.file, 1)
    wanted = Claim(Secret(CANARY), IN_PROCESS, USER, OPENAI, Value(EVIL, source, odd))
    need = needed(wanted)
    assert need.question.isprintable()
    assert str(need).isprintable()


def test_a_mixture_that_no_file_made() -> None:
    """A project file that hides the home file's URL: asked, naming where the URL is from."""
    default = Value(OPENAI, Source(SourceKind.DEFAULT, file="OpenAI"), USER)
    wanted = Claim(Secret(CANARY), IN_PROCESS, USER, "https://corp.example/v1", default)
    need = needed(wanted)
    assert need.key.file == "the default of OpenAI"
    assert "api.openai.com" in need.question


TIERS = st.sampled_from([USER, PROJECT, Tier("/q/.env")])
BASES = st.sampled_from(
    [
        OPENAI,
        EVIL,
        "https://evil.example/v1/x",
        "https://h/a",
        "https://h/ab",
        "http://127.0.0.1:9/v1",
        "http://h/v1",
    ]
)
POLICIES = st.builds(
    Policy,
    trust=st.sampled_from(WorkspaceTrust),
    terminal=st.booleans(),
    decisions=st.dictionaries(
        st.builds(
            ConsentKey,
            st.just(""),
            st.sampled_from([FILE, "/q/.env"]),
            st.sampled_from([Secret(CANARY).digest, "0" * 16]),
            BASES,
        ),
        st.sampled_from([Decision.FILE, Decision.DENY]),
        max_size=6,
    ),
)


@settings(max_examples=1000)
@given(key=TIERS, base_tier=TIERS, own=BASES, base=BASES, policy=POLICIES)
def test_a_mixture_is_never_signed_without_a_yes(
    key: Tier, base_tier: Tier, own: str, base: str, policy: Policy
) -> None:
    """Whatever tiers and URLs meet: without a remembered yes no header leaves what the key's tier names."""
    try:
        headers = ask(claim(key, own, base, base_tier), policy)
    except Problem:
        return
    assert headers == SIGNED
    assert url(own).covers(url(base))
    assert key.is_user or policy.trust is not WorkspaceTrust.UNTRUSTED


@settings(max_examples=500)
@given(own=BASES, base=BASES, target=BASES, policy=POLICIES, may_mix=st.booleans())
def test_a_header_is_only_for_the_base_url(
    own: str,
    base: str,
    target: str,
    policy: Policy,
    may_mix: bool,  # noqa: FBT001 - drawn
) -> None:
    """Whoever consents: a request beside its base URL is never signed."""
    allowed = Policy(policy.folder, policy.trust, policy.terminal, may_mix=may_mix)
    try:
        authorize(claim(USER, own, base, PROJECT), target + "/chat/completions", allowed)
    except Problem:
        return
    assert target == base or target.startswith(base + "/")
