"""qwen_ls.core.secret_files: which names are those of secrets."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from qwen_ls.core.secret_files import begins_as_private_key, holds_secrets

SECRET = """
.env .ENV .env.local .env.production prod.env .envrc a/.qwen/.env .qwen/settings.json .qwen/oauth_creds.json
.local/state/qwen-ls/keys.json .local/state/qwen-ls/state.json
.ssh/id_rsa .ssh/config .ssh/anything id_ed25519 id_rsa.bak server.pem Server.KEY a.p12 a.pfx a.jks a.kdbx
a.ppk
.netrc _netrc .npmrc .yarnrc.yml .pypirc .git-credentials .pgpass .my.cnf .htpasswd
.aws/credentials .aws/config .azure/msal_token_cache.json .config/gcloud/access_tokens.db .docker/config.json
.kube/config .config/gh/hosts.yml .git/config .cargo/credentials.toml application_default_credentials.json
client_secret_1.json terraform.tfstate .vault-token .gnupg/secring.gpg
"""
OPEN = """
env.py environment.md .envoy/a.yaml settings.json .vscode/settings.json keys.json state.json src/keys.json
id_mapping.py id_rsa.pub .ssh/id_ed25519.pub .ssh/known_hosts key.py monkey pem.txt config.json credentials.py
docs/credentials/index.md hosts.yml config src/auth.ts
"""


@pytest.mark.parametrize("path", SECRET.split())
def test_a_secret_file(path: str) -> None:
    """These hold keys, tokens or passwords, whatever the case of their letters."""
    assert holds_secrets(PurePosixPath("/work") / path)
    assert holds_secrets(PurePosixPath("/work") / path.upper())


@pytest.mark.parametrize("path", OPEN.split())
def test_an_open_file(path: str) -> None:
    """These are alike by name, and are what people ask about."""
    assert not holds_secrets(PurePosixPath("/work") / path)


def test_private_keys_are_known_by_their_first_line() -> None:
    """A private key is one under any name; a certificate, and text about keys, are none."""
    assert begins_as_private_key(b"-----BEGIN PRIVATE KEY-----\nMIIE")
    assert begins_as_private_key(b"\n-----BEGIN OPENSSH PRIVATE KEY-----\r\nb3Bl")
    assert not begins_as_private_key(b"-----BEGIN CERTIFICATE-----\nMIIE")
    assert not begins_as_private_key(b"# a test\nKEY = '-----BEGIN PRIVATE KEY-----'")
