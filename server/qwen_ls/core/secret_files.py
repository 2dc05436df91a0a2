"""Files that hold secrets, by their names: none of them goes along with a message.

Names say most and cost nothing; what they miss, the search of outgoing text for loaded secrets may find.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePath, PurePosixPath
from urllib.parse import unquote

from qwen_ls.core.errors import Kind, Problem, one_line

# Patterns of names, in lower case. `docs/reference/context.md` has each of them.
NAMES = (
    *(".env", ".env.*", "*.env", ".envrc"),
    *("oauth_creds.json", "credentials", "credentials.json", "credentials.toml", "credentials.db"),
    *("application_default_credentials.json", "accesstokens.json", "client_secret*.json"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.pem", "*.key", "*.ppk"),
    *("*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx"),
    *(".netrc", "_netrc", ".npmrc", ".yarnrc.yml", ".pypirc", ".git-credentials", ".pgpass", ".my.cnf"),
    *(".htpasswd", ".dockercfg", ".terraformrc", "*.tfstate", ".vault-token", ".boto", ".s3cfg"),
)

# The same for a name together with the folder it lies in.
IN_FOLDERS = (
    *(".qwen/settings.json", "qwen-ls/keys.json", "qwen-ls/state.json"),
    *(".ssh/*", ".gnupg/*", ".aws/*", ".azure/*", "gcloud/*"),
    *(".docker/config.json", ".kube/config", "gh/hosts.yml", ".git/config"),
)

EXCEPTIONS = ("*.pub", "known_hosts")  # public by nature, also where they lie
BEGINNING = 1024  # characters; a first line that says something is shorter
PRIVATE_KEY = b"-----BEGIN "  # RFC 7468 section 2: how a key in text begins


def holds_secrets(path: PurePath) -> bool:
    """Whether a file of this name holds secrets, in any case of letters."""
    name, folder = path.name.lower(), path.parent.name.lower()
    if is_like(name, EXCEPTIONS):
        return False
    return is_like(name, NAMES) or is_like(f"{folder}/{name}", IN_FOLDERS)


def names_secrets(uri: str) -> bool:
    """The same of a document that is no file here: as its path stands, or decoded and without a query."""
    path = uri.partition(":")[2]
    plain = unquote(path.partition("?")[0].partition("#")[0])
    return any(holds_secrets(PurePosixPath("/", one)) for one in (path, plain))


def is_like(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns fits."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def begins_as_private_key(data: bytes) -> bool:
    """Whether a file's first line says that it is a private key, whatever its name."""
    first = data.lstrip().partition(b"\n")[0]
    return first.startswith(PRIVATE_KEY) and b"PRIVATE KEY" in first


def withheld(shown: str, why: str = "files of this name hold keys or passwords") -> Problem:
    """Why a file with secrets does not go along."""
    remedy = "Copy what the question is about into the message, without its secrets"
    return Problem(Kind.NOT_SUPPORTED, f"{one_line(shown)} is not attached: {why}", remedy=remedy)


def check_text(text: str, shown: str) -> str:
    """A file's text. Raises Problem for a private key."""
    if begins_as_private_key(text[:BEGINNING].encode("utf-8", "replace")):
        raise withheld(shown, "it is a private key")
    return text
