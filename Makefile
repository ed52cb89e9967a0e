# `make demo` and `make test` are all one needs to know; both install what they need into .venv.
.PHONY: help demo test check lint types layers format bench man lock clean

BIN := .venv/bin

help: ## Show what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

demo: .venv/run.stamp ## See the main job live: no account, no network
	@$(BIN)/hashwacht demo

test: .venv/dev.stamp ## Run all tests
	@$(BIN)/pytest -q -n 2 --dist worksteal

check: .venv/dev.stamp lint types layers test ## Everything that must hold before a change lands

lint: .venv/dev.stamp
	@$(BIN)/python packaging/check.py format lint

types: .venv/dev.stamp
	@$(BIN)/python packaging/check.py types

layers: .venv/dev.stamp
	@$(BIN)/python packaging/check.py layers

format: .venv/dev.stamp ## Bring the code into its form
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only --quiet .

bench: .venv/dev.stamp ## Measure, against named peers in the same run
	@$(BIN)/python -m pytest -q -s tests/benchmarks -o python_files='bench_*.py' -o python_functions='bench_*'

man: .venv/run.stamp ## Write the man pages into packaging/man
	@$(BIN)/hashwacht man packaging/man

lock: ## Write the locks anew (needs uv)
	@packaging/lock

clean: ## Remove what was made
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/run.stamp: packaging/locks/run.txt pyproject.toml
	@packaging/bootstrap run

.venv/dev.stamp: packaging/locks/dev.txt packaging/debian-test-packages.txt pyproject.toml
	@packaging/bootstrap dev
