# Five words run everything: make setup | check | test | demo | docs; make help lists the rest.
# Plain Python 3.11+ with venv and make are all that `make demo` and `make test` assume of the machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PARTS := .parts/bin
JOBS ?= 2
# Every target says how long it took.
CLOCK = start=$$(date +%s)
DONE = echo "make $@: done in $$(( $$(date +%s) - start )) s"

# Every server that a test starts is a new Python: without bytecode each would compile all of the source again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup setup-run check test demo docs soak bench parts test-gvisor test-tlog test-browser test-groups test-root test-ordinary test-floe test-keyring test-pooler test-oidc lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 22

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Weighthouse needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Set PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "'$(PYTHON) -m venv' failed; on Debian: apt-get install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.run: $(VENV)/.made requirements/run.txt pyproject.toml sdk/pyproject.toml verifier/pyproject.toml
	@echo "Installing what the server and the demo need (hashed, from the Python registry) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e sdk -e verifier
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	@echo "Installing what the tests and checks need ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

setup-run: $(VENV)/.run
setup: $(VENV)/.dev ## make the virtual environment with everything locked

check: $(VENV)/.dev ## style, types, contracts, house rules; under a minute
	@$(CLOCK); $(BIN)/python -m tests.house.check && $(DONE)

test: $(VENV)/.dev ## the tests that need nothing but Python; about forty minutes on two cores
	@$(CLOCK); $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m "not as_root and not browser and not control_group and not real_floe and not real_gvisor and not real_keyring and not real_pooler and not real_tlog and not foreign_oidc and not soak" $(ARGS) && $(DONE)

demo: $(VENV)/.run ## the main job on this machine; Ctrl-C leaves nothing behind
	@$(CLOCK); $(BIN)/weighthouse demo $(DEMO) && $(DONE)

docs: $(VENV)/.dev ## build the documentation into docs/_build
	@$(CLOCK); $(BIN)/python -m sphinx -q -W -b html docs docs/_build/html && echo "docs/_build/html/index.html" && $(DONE)

bench: $(VENV)/.dev ## every benchmark as ratios against a peer or a limit
	@$(CLOCK); $(BIN)/python -m benchmarks.all && $(DONE)

soak: $(VENV)/.dev ## the long property, race and kill runs (Shows 3 and 5 in full)
	@$(CLOCK); WEIGHTHOUSE_FROZEN_S=60 WEIGHTHOUSE_KILLS=200 WEIGHTHOUSE_CUTS=0 WEIGHTHOUSE_ROUNDS=10000 WEIGHTHOUSE_CASES=100000 WEIGHTHOUSE_EXAMPLES=50 \
	  $(BIN)/python -m pytest -q -n $(JOBS) --dist load --timeout 3000 -m "soak" && $(DONE)

parts: $(PARTS)/runsc $(PARTS)/tlog/judge ## build gVisor's runsc and the log's judges from their Go modules (needs Go)
$(PARTS)/runsc: parts/gvisor/go.mod parts/gvisor/build.sh
	@command -v go >/dev/null || { echo "make parts needs Go 1.26 or newer, which is not on this machine's PATH."; exit 1; }
	@$(CLOCK); sh parts/gvisor/build.sh "$(CURDIR)/$(PARTS)/runsc" && $(DONE)

$(PARTS)/tlog/judge: $(wildcard parts/tlog/*.* parts/tlog/*/*.go)
	@command -v go >/dev/null || { echo "make parts needs Go 1.26 or newer, which is not on this machine's PATH."; exit 1; }
	@$(CLOCK); sh parts/tlog/build.sh "$(CURDIR)/$(PARTS)/tlog" && $(DONE)

test-gvisor: $(VENV)/.dev $(PARTS)/runsc ## the tests that run a real gVisor sandbox
	@$(CLOCK); WEIGHTHOUSE_RUNS_RUNSC="$(CURDIR)/$(PARTS)/runsc" $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m real_gvisor && $(DONE)

test-tlog: $(VENV)/.dev $(PARTS)/tlog/judge ## the tests in which other projects' programs judge the log
	@$(CLOCK); $(BIN)/python -m pytest -q -m real_tlog && $(DONE)

test-browser: $(VENV)/.dev ## the tests that drive Debian's Chromium (apt-get install chromium)
	@command -v chromium >/dev/null || { echo "make test-browser needs Chromium: apt-get install chromium"; exit 1; }
	@$(CLOCK); $(BIN)/python -m pytest -q -m browser && $(DONE)

FOREIGN := tests/identity/foreign
$(FOREIGN)/node_modules/.package-lock.json: $(FOREIGN)/package-lock.json
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && command -v npm >/dev/null || { echo "make test-oidc needs Node 20 or newer with npm (apt-get install nodejs npm)."; exit 1; }
	@cd $(FOREIGN) && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

test-oidc: $(VENV)/.dev $(FOREIGN)/node_modules/.package-lock.json ## sign-in against a certified provider and relying party (needs Node and npm)
	@$(CLOCK); $(BIN)/python -m pytest -q -m foreign_oidc $(FOREIGN) && $(DONE)

test-groups: $(VENV)/.dev ## the limits on a whole run, which need a user who may make control groups (root)
	@$(CLOCK); $(BIN)/python -m pytest -q -m "control_group and not real_gvisor" && $(DONE)

test-root: $(VENV)/.dev ## what root alone may do
	@[ "$$(id -u)" = 0 ] || { echo "make test-root mounts disk images, so it needs root."; exit 1; }
	@$(CLOCK); $(BIN)/python -m pytest -q -m "as_root and not real_gvisor" && $(DONE)

test-ordinary: $(VENV)/.dev ## what is done otherwise for root than for others, tried by one who is not root
	@[ "$$(id -u)" != 0 ] || { echo "make test-ordinary needs an ordinary user, who can read all this: runuser -u nobody -- make test-ordinary VENV=..."; exit 1; }
	@$(CLOCK); $(BIN)/python -m pytest -q -m "ordinary and not as_root and not control_group and not real_gvisor and not soak" && $(DONE)

test-floe: $(VENV)/.dev ## the tests against the FLOE authors' own code (needs what parts/floe builds)
	@[ -x "$(PARTS)/floe-peer" ] || { echo "make test-floe needs $(PARTS)/floe-peer: sh parts/floe/build.sh <checkout of Snowflake-Labs/floe-specification>"; exit 1; }
	@$(CLOCK); WEIGHTHOUSE_FLOE_PEER="$(CURDIR)/$(PARTS)/floe-peer" $(BIN)/python -m pytest -q -m real_floe && $(DONE)

test-keyring: $(VENV)/.dev ## the tests that need a real keyring (apt-get install gnome-keyring dbus)
	@command -v gnome-keyring-daemon >/dev/null && command -v dbus-daemon >/dev/null || { echo "make test-keyring needs gnome-keyring and dbus: apt-get install gnome-keyring dbus"; exit 1; }
	@$(CLOCK); $(BIN)/python -m pytest -q -m real_keyring && $(DONE)

test-pooler: $(VENV)/.dev ## the test that needs a pooler before PostgreSQL (apt-get install pgbouncer)
	@command -v pgbouncer >/dev/null || { echo "make test-pooler needs pgbouncer: apt-get install pgbouncer"; exit 1; }
	@$(CLOCK); $(BIN)/python -m pytest -q -m real_pooler && $(DONE)

lock: ## renew requirements/*.txt on purpose (needs uv)
	@for f in run dev; do uv pip compile -q --upgrade requirements/$$f.in -o requirements/$$f.txt --python-version 3.11 --generate-hashes --no-annotate --no-header --universal; done

clean: ## remove the virtual environment, built parts and caches
	@rm -rf $(VENV) .parts $(FOREIGN)/node_modules .mypy_cache .ruff_cache .hypothesis .import_linter_cache docs/_build
