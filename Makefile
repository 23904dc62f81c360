# Two commands do everything: `make run` and `make test`. CONTRIBUTING.md says what the others are for.
PYTHON ?= python3
BIN := .venv/bin
# Enough of an environment to import the settings; nothing that `check` does connects anywhere.
CHECK := BASEKV_SECRET_KEY=check BASEKV_ENCRYPTION_KEYS=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= DATABASE_URL=postgresql://127.0.0.1:1/none REDIS_URL=redis://127.0.0.1:1

# Where it is set, each of the tests' many short processes would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run demo test check lint types imports migrations lock

# A make that is killed takes the stack along.
run: .venv/ready
	@exec setpriv --pdeathsig TERM $(BIN)/python -m devstack run

demo: .venv/ready
	@exec $(BIN)/python -m devstack demo

# What the browser saw is kept: a CI takes .artifacts along.
test: export BASEKV_SCREENSHOTS ?= $(CURDIR)/.artifacts/screenshots
test: check
	$(BIN)/pytest

check: .venv/ready
	@$(MAKE) --no-print-directory --jobs --output-sync lint types imports migrations

lint types imports migrations: .venv/ready
lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
types:
	$(CHECK) $(BIN)/mypy
imports:
	$(BIN)/lint-imports --no-logo
migrations:
	$(CHECK) $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

# What changed in the locks is installed; a venv that was only half made is finished. uv takes 5 s where pip takes 60; a
# mirror that only pip is told of is pip's.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
.venv/ready: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "BaseKV needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)")'
	@echo "Installing the locked requirements into .venv (once)"
	@$(PYTHON) -m venv .venv
	@$(PIP) "$$(grep '^uv==' requirements-dev.txt)" && $(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements-dev.txt \
		|| $(PIP) --requirement requirements-dev.txt
	@touch $@

lock: .venv/ready
	$(BIN)/uv pip compile --quiet --no-header --python-version 3.11 --upgrade pyproject.toml --output-file requirements.txt
	$(BIN)/uv pip compile --quiet --no-header --python-version 3.11 --upgrade pyproject.toml --group dev --constraint requirements.txt --output-file requirements-dev.txt
