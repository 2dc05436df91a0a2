# One spelling of every command; CI and the README call these.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
ONLINE := $(VENV)/bin/pip install --quiet --disable-pip-version-check
# Tests run in a network namespace that has loopback alone.
SEALED := $(PY) tests/sealed.py
# What only `make e2e` has the packages for.
E2E    := tests/e2e tests/editors

# Node knows only CAs of its own; this adds the system's, a company's among them, where nothing else is said.
SYSTEM_CAS := $(wildcard /etc/ssl/certs/ca-certificates.crt)
ifneq ($(SYSTEM_CAS),)
export NODE_EXTRA_CA_CERTS ?= $(SYSTEM_CAS)
endif

.DEFAULT_GOAL := help
.PHONY: help demo test e2e bench check contract vsix clean

help: ## what can be made
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# A stamp per set of extras: nothing is downloaded again until pyproject.toml changes.
$(VENV)/.%: pyproject.toml
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	$(ONLINE) --editable '.[$(subst +,$(comma),$*)]'
	@touch $@
comma := ,

# The VS Code extension's tools: node and npm from PyPI, the rest by the lock file. A stamp, as above.
EXTENSION := vscode-extension
NPM       := PATH="$(abspath $(VENV)/bin):$$PATH" npm --prefix $(EXTENSION)
$(EXTENSION)/node_modules/.stamp: $(EXTENSION)/package.json $(EXTENSION)/package-lock.json $(VENV)/.node
	cd $(EXTENSION) && PATH="$(abspath $(VENV)/bin):$$PATH" npm ci
	@touch $@

# The Neovim client's tools: stylua from npm, luacheck from Debian.
NEOVIM := server/qwen_ls/editors/neovim
STYLUA := $(VENV)/stylua/node_modules/.bin/stylua
LINTER := .e2e/luacheck/tree/usr
$(VENV)/stylua/.stamp: $(VENV)/.node
	PATH="$(abspath $(VENV)/bin):$$PATH" npm install --silent --no-fund --no-audit --prefix $(VENV)/stylua \
	  @johnnymorganz/stylua-bin@2.5.2
	@touch $@

demo: $(VENV)/.demo ## sign in, chat, switch and chat again against an embedded provider
	@$(VENV)/bin/qwen-ls demo $(ARGS)

test: $(VENV)/.demo+test $(EXTENSION)/node_modules/.stamp ## the test suite, with loopback as its only network
	$(SEALED) $(PY) -m pytest $(E2E:%=--ignore %) $(ARGS)
	$(NPM) test

# What the extension makes its own server from where no index may be asked.
.e2e/wheelhouse/.stamp: pyproject.toml $(VENV)/.demo+test+e2e
	rm -rf .e2e/wheelhouse
	$(VENV)/bin/pip wheel --quiet --disable-pip-version-check --wheel-dir .e2e/wheelhouse .
	@rm .e2e/wheelhouse/qwen_ls-*.whl && touch $@

e2e: $(VENV)/.demo+test+e2e .e2e/wheelhouse/.stamp vsix ## the same over a real llama.cpp, OAuth server, keyring and VS Code
	tests/e2e/install.sh
	tests/editors/vscode/install.sh
	$(SEALED) $(PY) -m pytest -m e2e $(ARGS)

# What the benchmark compares with beside pygls and httpx, in a folder of its own. Without them it goes on.
PEERS := .bench/peers
$(PEERS)/.stamp: $(VENV)/.node
	@mkdir -p $(PEERS)
	-PATH="$(abspath $(VENV)/bin):$$PATH" npm install --silent --no-fund --no-audit --prefix $(PEERS) \
	  @github/copilot-language-server@1.539.0 @qwen-code/qwen-code@0.24.4 && touch $@

# What is measured, without the tests' packages.
.bench/env/.stamp: pyproject.toml
	@test -x .bench/env/bin/pip || $(PYTHON) -m venv .bench/env
	.bench/env/bin/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

bench: $(VENV)/.demo+test .bench/env/.stamp $(PEERS)/.stamp ## measure speed and memory beside others; writes docs/reference/performance.md
	PYTHONPATH=tests $(SEALED) $(PY) -m bench $(ARGS)

check: $(VENV)/.check+demo+test+e2e $(VENV)/stylua/.stamp $(EXTENSION)/node_modules/.stamp ## formatting, lint, types, import rule, generated files
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) server/tools/generate_contract.py --check
	$(NPM) run check
	$(STYLUA) --check $(NEOVIM)
	tests/e2e/install.sh luacheck
	LUA_PATH='$(LINTER)/share/lua/5.1/?.lua;$(LINTER)/share/lua/5.1/?/init.lua' \
	  LUA_CPATH="$$(echo $(LINTER)/lib/*/lua/5.1)/?.so" \
	  $(LINTER)/bin/lua5.1 $(LINTER)/bin/luacheck --quiet $(NEOVIM)

contract: $(VENV)/.demo+test ## write what is generated from contract.py
	$(PY) server/tools/generate_contract.py

vsix: $(EXTENSION)/node_modules/.stamp ## vscode-extension/qwen-ls.vsix, with the server's wheel in it
	rm -rf $(EXTENSION)/dist $(EXTENSION)/server
	$(VENV)/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir $(EXTENSION)/server .
	cp LICENSE $(EXTENSION)/LICENSE
	$(NPM) run build
	$(NPM) run package

clean: ## remove what the other targets made
	rm -rf $(VENV) .e2e .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis
	cd $(EXTENSION) && rm -rf node_modules dist server LICENSE qwen-ls.vsix
