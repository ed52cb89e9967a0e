# `make demo` and `make test` are all one needs to know; both install what they need into .venv.
.PHONY: help demo test test-clients test-packages check lint types layers audit shape format \
	bench recall fuzz man dist release packages repository image lock clean install-systemd uninstall-systemd

BIN := .venv/bin

help: ## Show what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 26

demo: .venv/run.stamp ## See the main job live: no account, no network
	@PYTHONPATH=plugins/examples $(BIN)/python -m demo

test: .venv/dev.stamp ## Run all tests
	@$(BIN)/pytest -q -n 2 --dist worksteal

test-clients: .venv/clients.stamp ## Test with many more servers and clients, and bodies for 14 parsers
	@HASHWACHT_PARSER_EXAMPLES=5000 HASHWACHT_CLAMD_EXAMPLES=1000 HASHWACHT_CLIENTS=1 $(BIN)/pytest -q tests/clients \
	  tests/unit/plugins/test_parsers.py tests/integration/plugins/test_entries.py \
	  tests/integration/gateway/clamd/test_differential.py

test-packages: .venv/dev.stamp .venv/package-tests.stamp ## Build packages twice, boot a machine with them
	@HASHWACHT_BOOT=1 $(BIN)/pytest -q tests/e2e -o python_files='check_*.py' \
	  -o faulthandler_timeout=1500 -o log_cli=true -o log_cli_level=INFO

check: .venv/dev.stamp lint types layers audit test ## Everything that must hold before a change lands

lint: .venv/dev.stamp
	@$(BIN)/python packaging/check.py format lint

types: .venv/dev.stamp
	@$(BIN)/python packaging/check.py types

layers: .venv/dev.stamp
	@$(BIN)/python packaging/check.py layers

audit: .venv/dev.stamp
	@$(BIN)/python packaging/check.py audit

shape: .venv/dev.stamp ## Show sizes, shared names and second copies, for a reviewer
	@$(BIN)/python packaging/check.py shape

format: .venv/dev.stamp ## Bring the code into its form
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only --quiet .

bench: .venv/bench.stamp ## Measure, against named peers in the same run
	@$(BIN)/python -m pytest -q -s tests/benchmarks -o python_files='bench_*.py' -o python_functions='bench_*'

recall: .venv/recall.stamp ## Measure recall and false matches, judged by browsers (30 minutes)
	@$(BIN)/python -m recall

fuzz: .venv/dev.stamp ## Fuzz our own parsers for five minutes (needs atheris)
	@$(BIN)/python -c 'import atheris' || $(BIN)/pip install -q 'atheris>=3,<4'
	@for target in wire courier uploads watcher lists rows forms answers configuration; do \
	  $(BIN)/python tests/fuzz/fuzz.py $$target 33 || exit 1; done

man: .venv/run.stamp ## Write the man pages into packaging/man
	@$(BIN)/python packaging/man.py packaging/man

dist: .venv/dev.stamp ## Build the wheel and the source distribution into dist
	@$(BIN)/hatchling build -d dist

release: .venv/dev.stamp ## Date the changelog, set the version, commit and tag (VERSION=0.2.0)
	@$(BIN)/python packaging/release.py $(VERSION)

packages: .venv/package.stamp ## Build deb and rpm packages into dist (TARGETS="debian12 el9")
	@$(BIN)/python packaging/packages/build.py dist $(TARGETS)

image: .venv/package.stamp ## Build an OCI image from the package for Debian 12 in dist (root)
	@$(BIN)/python packaging/image/build.py dist

repository: ## Sign and lay out an apt and a dnf repository from dist (KEY=FINGERPRINT, in GNUPGHOME)
	@python3 packaging/packages/repository.py dist dist/repository "$(KEY)"

install-systemd: ## Install as system services (root; see docs/daemon.md)
	@packaging/systemd/install

uninstall-systemd: ## Take them away again; state and configuration stay
	@packaging/systemd/install uninstall

lock: ## Write the locks anew (needs uv)
	@packaging/lock

clean: ## Remove what was made
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/run.stamp: packaging/locks/run.txt pyproject.toml
	@packaging/bootstrap run

.venv/bench.stamp: packaging/locks/bench.txt packaging/debian-test-packages.txt pyproject.toml
	@packaging/bootstrap bench

.venv/recall.stamp: packaging/locks/bench.txt packaging/debian-test-packages.txt pyproject.toml
	@packaging/bootstrap recall

.venv/clients.stamp: packaging/locks/clients.txt packaging/debian-test-packages.txt \
		packaging/debian-client-packages.txt packaging/debian-client-archives.txt pyproject.toml
	@packaging/bootstrap clients

.venv/package.stamp: packaging/locks/package.txt pyproject.toml
	@packaging/bootstrap package

.venv/package-tests.stamp: packaging/locks/package.txt packaging/debian-test-packages.txt pyproject.toml
	@packaging/bootstrap package-tests

.venv/dev.stamp: packaging/locks/dev.txt packaging/debian-test-packages.txt pyproject.toml
	@packaging/bootstrap dev
