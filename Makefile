# Everything a newcomer needs: `make demo`. Everything a contributor needs: `make test lint types`.

VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PYTHON ?= $(shell for candidate in python3.11 python3.12 python3.13 python3; do \
            "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
              2>/dev/null && echo "$$candidate" && break; done)

.DEFAULT_GOAL := help
.PHONY: help demo desk test lint types format constraints clean

help:  ## This list
	@sed -n 's/^\([a-z]*\):.*##[ ]*/\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: $(STAMP)  ## Recognise and judge 16 real uploads on this machine, without any service
	@$(BIN)/soundalike demo

desk: $(STAMP)  ## Open the review desk on the demo's flags, on this machine only
	@$(BIN)/soundalike review demo

test: $(STAMP)  ## Every test, also those against a real Kafka broker
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: $(STAMP)  ## Ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP)  ## Mypy, strict, over the packages
	@$(BIN)/mypy

format: $(STAMP)  ## Let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# CUDA's packages and triton are left out: torch pins them itself, and only where they exist.
constraints: $(STAMP)  ## Write constraints.txt from what is installed now
	@{ echo "# Versions that are known to work together; written by 'make constraints'."; \
	   $(BIN)/python -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9._-]+==' | grep -Ev '^(nvidia-|cuda-|triton=)'; \
	 } > constraints.txt.new && mv constraints.txt.new constraints.txt && touch $(STAMP)

clean:  ## Remove the virtual environment and all caches; the catalog in your data folder stays
	rm -rf $(VENV) demo-data review/assets/node_modules review/static/vendor build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The pins of constraints.txt make two installations alike; pyproject.toml alone says what is compatible.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: Python 3.11, 3.12 or 3.13 is needed and none is on PATH; install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Creating $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); } || { echo "make: '$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV) (several GB with torch; a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group dev -e '.[review,postgres]'
	@touch $@
