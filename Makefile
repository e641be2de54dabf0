# Everything runs from a clean clone with Python 3.11+ and make: the first call creates .venv from
# constraints.txt, later calls reuse it. Only relative paths, so any folder name works.

# Left empty, the first of python3, python3.13, python3.12 and python3.11 that is new enough is used.
PYTHON ?=
# Another JAX than the one of constraints.txt, for checks on the oldest that is supported.
JAX ?=
MODE ?= full
ONLY ?=
OUT_DIR ?=

VENV_PYTHON := .venv/bin/python
INSTALLED := .venv/installed

# A foreign Python path or locale must not reach the pinned environment, and nothing is written
# outside this folder, so that a read-only home is enough.
unexport PYTHONHOME
unexport PYTHONPATH
export PYTHONUTF8 := 1
export MPLBACKEND := Agg
export MPLCONFIGDIR := $(CURDIR)/.cache/matplotlib

# An environment whose interpreter has gone (an upgrade of the system) is made anew.
ifneq ($(wildcard $(INSTALLED)),)
ifneq ($(shell $(VENV_PYTHON) -c "print('works')" 2>/dev/null),works)
$(shell rm -f $(INSTALLED))
endif
endif

.DEFAULT_GOAL := help
.PHONY: help install figures reproduce test lint types doctest check benchmark readme clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | \
	  while IFS='|' read -r target text; do printf '%-18s %s\n' "$$target" "$$text"; done

install: $(INSTALLED) ## create .venv from constraints.txt (every target below does it by itself)

figures: $(INSTALLED) ## bring every figure up to date (MODE=full|smoke ONLY=a,b OUT_DIR=figures)
	@$(VENV_PYTHON) -m experiments.reproduce --mode="$(MODE)" --only="$(ONLY)" \
	  $(if $(OUT_DIR),--out_dir="$(OUT_DIR)")

# One that was interrupted goes on; one that was finished begins again.
reproduce: $(INSTALLED) ## compute everything anew in results/reproduced, and compare with figures/
	@if [ -e results/reproduced/comparison.txt ]; then rm -rf results/reproduced; fi
	@$(VENV_PYTHON) -m experiments.reproduce --only="$(ONLY)" --out_dir=results/reproduced \
	  --store=results/reproduced/store --compare_with=figures

test: $(INSTALLED) ## run the tests
	@$(VENV_PYTHON) -m pytest -n 2 --dist worksteal

lint: $(INSTALLED) ## ruff: lint and format check
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .

types: $(INSTALLED) ## mypy
	@$(VENV_PYTHON) -m mypy

doctest: $(INSTALLED) ## run the examples of the docstrings and of the pages
	@$(VENV_PYTHON) -m pytest --doctest-modules maxpo_jax experiments configs
	@$(VENV_PYTHON) -m pytest tests/test_readme.py -k examples

check: lint types doctest test ## lint, types, doctest and test

benchmark: $(INSTALLED) ## time the estimators
	@$(VENV_PYTHON) -m experiments.benchmark_estimators

readme: $(INSTALLED) ## write the generated sections of the pages
	@$(VENV_PYTHON) -m experiments.readme

clean: ## remove .venv and every cache
	rm -rf .venv .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Written last and removed first: an interrupted installation has no stamp, and starts from nothing.
$(INSTALLED): pyproject.toml constraints.txt
	@rm -f $@
	@python='$(PYTHON)'; \
	new_enough='import sys; sys.exit(sys.version_info < (3, 11))'; \
	for candidate in python3 python3.13 python3.12 python3.11; do \
	  if [ -z "$$python" ] && "$$candidate" -c "$$new_enough" 2>/dev/null; then python=$$candidate; fi; \
	done; \
	python=$${python:-python3}; \
	if ! "$$python" -c "$$new_enough" 2>/dev/null; then \
	  echo "maxpo_jax needs Python 3.11 or newer, and $$python is not ($$("$$python" --version 2>&1 | head -n 1)): install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi; \
	python=$$("$$python" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))'); \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$$python cannot make virtual environments: install its venv module (on Debian: apt-get install python3-venv), or name another Python: make PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi; \
	echo "Installing the pinned packages into .venv (once, about a minute)"; \
	"$$python" -m venv --clear .venv
	@PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 \
	  $(VENV_PYTHON) -m pip install -qq --no-input --requirement constraints.txt
	@if [ -n '$(JAX)' ]; then PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 \
	  $(VENV_PYTHON) -m pip install -qq --no-input 'jax==$(JAX)' 'jaxlib==$(JAX)'; fi
	@mkdir -p .cache/matplotlib
	@touch $@
