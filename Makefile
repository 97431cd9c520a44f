# What everyone runs; `make` alone tells what there is. Needs Python 3.11 or newer and nothing else.
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SCRIPTS := clients/js src/tailrace/web/ui
PAGES := $(shell find src/tailrace/web/ui clients/js/src -name node_modules -prune -o -type f -print)
BUILD := pyproject.toml hatch_build.py $(PAGES)
ARGS ?=

.PHONY: help run test check docs bench lock clean tools
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#: //p' Makefile

#: make run     start tailrace on 127.0.0.1:8000 (ARGS="--port 9000" or PORT=9000 for another port)
run: $(VENV)/.run
	@exec $(BIN)/tailrace serve $(ARGS)

#: make test    install what the tests need, then run them all (ARGS="tests/web -k sse" for some)
test: $(VENV)/.dev tools
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term $(ARGS)

#: make check   formatting, lint, types and the rules of the house
check: $(VENV)/.dev $(SCRIPTS:%=%/node_modules/.package-lock.json)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@for folder in $(SCRIPTS); do (cd $$folder && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent check) || exit 1; done
	$(BIN)/python -m pytest -q tests/test_house.py

#: make docs    build the documentation into site/
docs: $(VENV)/.dev
	$(BIN)/mkdocs build --strict

#: make bench   measure tailrace against nginx, side by side
bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

#: make lock    write the locks anew (ARGS=--upgrade for the newest versions)
lock: $(VENV)/.dev
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh scripts/lock.sh $(ARGS)

#: make clean   remove all that these made in the tree
clean:
	rm -rf $(VENV) build dist site htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf src/tailrace/web/assets src/tailrace/web/ui/node_modules tests/js/node_modules
	rm -rf clients/js/build clients/js/dist clients/js/node_modules
	find src tests bench examples scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@sh scripts/make-venv.sh $(VENV)

$(VENV)/.run: requirements/build.txt requirements/run.txt $(BUILD) | $(BIN)/python
	@echo "Installing the locked dependencies and tailrace"
	@$(PIP) install --require-hashes -r requirements/build.txt -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# Node comes with what builds the pages, so that every machine tests with the same one.
$(VENV)/.dev: requirements/dev.txt $(BUILD) | $(BIN)/python
	@echo "Installing the locked dependencies, those for development too, and tailrace"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@sh scripts/link-node.sh $(BIN)
	@touch $@

%/node_modules/.package-lock.json: %/package-lock.json | $(VENV)/.dev
	@echo "Installing the Node packages of $*"
	@cd $* && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

tools: $(VENV)/.dev $(patsubst %,%/node_modules/.package-lock.json,tests/js $(SCRIPTS))
	@sh scripts/install-test-tools.sh
	@sh scripts/install-llama-cpp.sh $(BIN)/python
