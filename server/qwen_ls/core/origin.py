"""Who may send which secret where: base URLs, and `authorize`, the one way a secret gets out.

A key goes only to a base URL that its own tier names; mixing tiers needs the
user's consent; a project file's own pair needs trust. Everything else here serves that decision.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.errors import LONGEST_MESSAGE, Action, Kind, Problem, one_line, strip_control
from qwen_ls.core.providers import CATALOGUE, LOCAL_SERVERS, QWEN_PORTAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qwen_ls.core.provenance import Source, Tier, Value
    from qwen_ls.core.secret import Secret

DEFAULT_PORTS = {"https": 443, "http": 80}
LONGEST_URL = 2048  # characters
METADATA_HOSTS = frozenset(
    {
        "metadata.google.internal",
        "metadata.goog",
        "metadata.tencentyun.com",
        "metadata",
        "instance-data",
        "100.100.100.200",  # Alibaba Cloud
        "192.0.0.192",  # Oracle Cloud
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google Cloud
    }
)
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
LOOPBACK_NAMES = frozenset({"localhost"})
HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*", re.ASCII)
IPV6 = 6
HIGHEST_PORT = 65535
# Scheme, host, port, path; stricter than RFC 3986, so that no two parsers can disagree about it.
URL = re.compile(
    r"(https?)://(\[[0-9a-f:.]+\]|[^\[\]/:]+)(?::([^\[\]/:]*))?((?:/[^\[\]]*)?)", re.ASCII | re.IGNORECASE
)
VISIBLE = re.compile(r"[\x21-\x7e]+")


@attrs.frozen
class Origin:
    """Scheme, host in lower case without brackets, port (RFC 6454)."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if DEFAULT_PORTS[self.scheme] == self.port else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine by definition: 127/8, ::1, localhost."""
        address = parse_address(self.host)
        return self.host in LOOPBACK_NAMES if address is None else address.is_loopback


@attrs.frozen
class BaseUrl:
    """A checked base URL: its origin and its path, without trailing slashes."""

    origin: Origin
    path: str = ""

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"

    def covers(self, other: BaseUrl) -> bool:
        """Whether a key meant for this URL may go to `other`.

        Hosts of the catalogue are compared by origin, all others with the path as prefix too.
        """
        if self.origin != other.origin:
            return False
        if self.origin in CATALOGUE_ORIGINS:
            return True
        return other.path == self.path or other.path.startswith(self.path + "/")


@functools.lru_cache(maxsize=256)
def parse_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address a host spells; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def parse_base_url(text: str, where: str, insecure_origins: Sequence[str] = ()) -> BaseUrl:
    """Check a base URL against rule 5 and return its parts.

    `where` names the value's origin for the message; `insecure_origins` are the exact http origins
    the user allows. Raises Problem(untrusted-origin) for anything else than plain https, or http to
    loopback or an allowed origin.
    """
    url = read_base_url(text, where)
    origin = url.origin
    if origin.scheme == "http" and not origin.is_loopback and str(origin) not in insecure_origins:
        raise refused_url(
            f"The base URL {origin} is http, which would send the key in the clear",
            where,
            "Use https, or add the origin to insecureOrigins in your user settings",
        )
    return url


@functools.lru_cache(maxsize=64)
def read_base_url(text: str, where: str) -> BaseUrl:
    """The parts of a base URL whose http is judged elsewhere; raises for all else that rule 5 refuses."""
    if len(text) > LONGEST_URL or re.search(r"[^\x21-\x7e]|[\\@?#%]", text):
        raise refused_url(
            "The base URL is too long, or holds a blank, a control character or \\ @ ? # %", where
        )
    parts = URL.fullmatch(text)
    if parts is None:
        raise refused_url("The base URL does not begin with https:// and a host", where)
    scheme, path = parts[1].lower(), parts[4].rstrip("/")
    if any(step.partition(";")[0] in {".", ".."} for step in path.split("/")):  # some servers cut at ;
        raise refused_url("The base URL's path holds . or ..", where)
    return BaseUrl(Origin(scheme, checked_host(parts[2], where), checked_port(scheme, parts[3], where)), path)


def checked_host(host: str, where: str) -> str:
    """A host in comparable form; refuses numeric spellings, link-local and metadata addresses."""
    host = host.lower()
    address = parse_address(host[1:-1] if host.startswith("[") else host)
    if address is not None and (address.version == IPV6) == host.startswith("["):
        if is_never_a_provider(address):
            raise refused_url("The base URL is a link-local or metadata address", where)
        return str(address)
    if host in METADATA_HOSTS:
        raise refused_url("The base URL is a link-local or metadata address", where)
    last = host.rsplit(".", 1)[-1]
    # Systems read 0x7f.1 and 2130706433 as IPv4 addresses; two spellings of one host are one too many.
    if not HOST_NAME.fullmatch(host) or re.fullmatch(r"\d+|0x[0-9a-f]*", last):
        raise refused_url("The base URL's host is neither a name nor a plain IP address", where)
    return host


def is_never_a_provider(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Link-local, unspecified, metadata; and IPv4 spelled as IPv6, one spelling of a host too many."""
    if isinstance(address, ipaddress.IPv6Address) and (
        address in NAT64 or address.ipv4_mapped or address.sixtofour or address.teredo
    ):
        return True
    return address.is_link_local or address.is_unspecified or str(address) in METADATA_HOSTS


def checked_port(scheme: str, text: str | None, where: str) -> int:
    """The port, by the scheme's default if none is given."""
    if not text:
        return DEFAULT_PORTS[scheme]
    port = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 0
    if not 0 < port <= HIGHEST_PORT:
        raise refused_url("The base URL's port is not between 1 and 65535", where)
    return port


def refused_url(
    what: str, where: str, remedy: str = "Set it to the provider's https:// address, ending in /v1"
) -> Problem:
    """The refusal of a base URL."""
    return Problem(Kind.UNTRUSTED_ORIGIN, what, where=where, remedy=remedy)


def catalogue_origins() -> frozenset[Origin]:
    """The origins of every base URL the catalogue names."""
    urls = [u for p in (*CATALOGUE, QWEN_PORTAL, *LOCAL_SERVERS) for u in p.base_urls if "{" not in u]
    return frozenset(parse_base_url(u, "catalogue").origin for u in urls)


CATALOGUE_ORIGINS = catalogue_origins()


class WorkspaceTrust(str, Enum):
    """What the client says of the workspace."""

    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"
    UNKNOWN = "unknown"


class Decision(str, Enum):
    """A remembered answer to a consent question."""

    SEND = "send"  # send the key to the host in question
    FILE = "file"  # use the file's own key and URL instead
    DENY = "deny"


@attrs.frozen
class ConsentKey:
    """What an answer is remembered for: changing the host asks again, changing other lines does not."""

    folder: str
    file: str
    key_digest: str
    base_url: str


@attrs.frozen
class Policy:
    """The circumstances `authorize` decides in.

    `may_mix` is the user's word for a headless run (`--trust-project`); `terminal` means a person
    started this run in the folder itself; `remedy` says what to do where nobody can be asked.
    """

    folder: str = ""
    trust: WorkspaceTrust = WorkspaceTrust.UNKNOWN
    terminal: bool = False
    may_mix: bool = False
    insecure_origins: tuple[str, ...] = ()
    decisions: Mapping[ConsentKey, Decision] = attrs.field(factory=dict)


@attrs.frozen
class Claim:
    """A secret that wants to go somewhere.

    `secret` is None for a local server that needs none. `own_url` is the base URL that the key's own
    tier names; `base_url` is where the request goes; `file_has_pair` says whether the project file
    offers a key and URL of its own.
    """

    secret: Secret | None
    source: Source
    tier: Tier
    own_url: str
    base_url: Value
    file_has_pair: bool = False


class ConsentNeeded(Problem):
    """The request waits for an answer; without one it fails as `untrusted-origin`.

    `mixed` says that key and URL come from different tiers; `file_has_pair` that the file has both.
    """

    def __init__(
        self, key: ConsentKey, question: str, what: str, *, mixed: bool, file_has_pair: bool
    ) -> None:
        super().__init__(
            Kind.UNTRUSTED_ORIGIN,
            what,
            where=key.file,
            remedy="Answer the question, or say yes by qwen.trust.allow, in a terminal "
            "`qwen-ls trust allow`, --trust-project or QWEN_LS_TRUST_PROJECT=1; "
            "or put the key and its base URL into the same place",
            actions=[Action("Explain", "qwen.auth.explain")],
        )
        self.key = key
        self.question = one_line(question, LONGEST_MESSAGE)  # a folder's name may hold anything
        self.mixed = mixed
        self.file_has_pair = file_has_pair


def authorize(claim: Claim, request_url: str, policy: Policy) -> dict[str, str]:
    """Return the headers that sign a request to `request_url`, or raise.

    This is the only place that lets a secret out to the network. Raises Problem(untrusted-origin)
    for a refusal and ConsentNeeded where the user's answer is missing.
    """
    base = parse_base_url(claim.base_url.text, str(claim.base_url.source), policy.insecure_origins)
    target = parse_base_url(request_url, str(claim.base_url.source), policy.insecure_origins)
    if target.origin != base.origin or not target.path.startswith(base.path + "/"):
        raise refused_url(f"A request left its base URL {base.origin}", str(claim.base_url.source))
    require_leave(claim, base, policy)
    return {} if claim.secret is None else {"Authorization": f"Bearer {sendable(claim.secret, claim.source)}"}


def require_leave(claim: Claim, base: BaseUrl, policy: Policy) -> None:
    """Raise unless the claim's secret may go to its base URL: rules 1 to 3, without the secret."""
    own = parse_base_url(claim.own_url, str(claim.source), policy.insecure_origins)
    if not claim.tier.is_user:
        require_trust(claim, own, base, policy)
    elif not own.covers(base):
        require_consent(claim, base, policy, mixed=True)


def sendable(secret: Secret, source: Source) -> str:
    """The secret as a header can hold it (RFC 6750 section 2.1)."""
    text = secret.reveal()  # a broken one would end up in the HTTP library's error text
    if not VISIBLE.fullmatch(text):
        raise Problem(
            Kind.KEY_REJECTED,
            "The key holds a blank, a line break or a character that is not ASCII, and cannot be sent",
            where=str(source),
            remedy="Copy the key again, on one line, without quotes that do not match",
        )
    return text


def consent_key(claim: Claim, folder: str, base: BaseUrl) -> ConsentKey:
    """What an answer about this claim is remembered for.

    Where no project file has a part in it (its mere presence hid a home file, say), the base URL's
    source stands in the file's place.
    """
    file = claim.base_url.tier.file or claim.tier.file or str(claim.base_url.source)
    return ConsentKey(folder, file, claim.secret.digest if claim.secret else "", str(base))


def require_trust(claim: Claim, own: BaseUrl, base: BaseUrl, policy: Policy) -> None:
    """Rule 3: what a project file says counts only as far as the workspace is trusted."""
    if policy.trust is WorkspaceTrust.UNTRUSTED:
        raise Problem(
            Kind.UNTRUSTED_ORIGIN,
            "The workspace is not trusted, so the key of its .env file is not used",
            where=str(claim.source),
            remedy="Trust the workspace in the editor, or sign in with a key of your own",
        )
    if not own.covers(base):
        require_consent(claim, base, policy, mixed=True)
    elif claim.base_url.tier != claim.tier:
        return  # the provider's own default: the file names no host
    elif not (base.origin.is_loopback or policy.trust is WorkspaceTrust.TRUSTED or policy.terminal):
        require_consent(claim, base, policy, mixed=False)


def require_consent(claim: Claim, base: BaseUrl, policy: Policy, *, mixed: bool) -> None:
    """Rule 2: raise unless the user said yes to this file, key and host."""
    if policy.may_mix:
        return
    key = consent_key(claim, policy.folder, base)
    decision = policy.decisions.get(key)
    if decision is Decision.SEND:
        return
    shown = claim.secret.fingerprint if claim.secret else "no key"
    what = (
        f"The key {shown} from {claim.source} may not go to {base.origin}, named by {claim.base_url.source}"
    )
    if decision is Decision.DENY:
        raise Problem(
            Kind.UNTRUSTED_ORIGIN,
            what + ", as you decided",
            where=key.file,
            remedy="Change the base URL, or put the key and its base URL into the same place; "
            "to be asked again: qwen.trust.forget, in a terminal `qwen-ls trust forget`",
            actions=[ask_again(key)],
        )
    named = f"{claim.base_url.source} names {base.origin} as base URL"
    whose = f"the key {shown} from {claim.source}" if mixed else f"that file's key {shown} and your messages"
    question = f"{named}. Send {whose} to {base.origin.host}?"
    raise ConsentNeeded(key, question, what, mixed=mixed, file_has_pair=mixed and claim.file_has_pair)


def ask_again(key: ConsentKey) -> Action:
    """The button that forgets an answer. A name of a file that no message can carry is left out."""
    folder = PurePath(key.folder)
    place = {"uri": folder.as_uri()} if folder.is_absolute() else {}
    file = {"file": key.file} if strip_control(key.file) == key.file else {}
    return Action("Ask again", "qwen.trust.forget", {**place, **file})
