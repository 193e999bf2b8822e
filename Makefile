# Trocar: one environment, one word for each thing one does with it. `make` alone lists the words.

# The first of these that runs and is new enough (a version manager's shim may exist and refuse to run).
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := uv==0.13.8

.DEFAULT_GOAL := help
.PHONY: help demo test check format docs bench validate peers lock clean

help:  ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1@\2/p' Makefile | column -t -s @

# Remade only when the pinned requirements or the package's metadata change. The pins carry hashes, which the package
# itself cannot, hence two calls; its build tool is among the pins, hence no isolated build.
$(READY): requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Trocar needs Python 3.11 or newer: install it, or name it: make PYTHON=/path/to/python"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)  ## plan a vertebroplasty on the phantom and say where the report is
	$(BIN)/trocar demo

# Where the comparison with other solvers is required (TROCAR_PEERS=required), the tests bring the solvers along.
test: $(READY) $(if $(filter required,$(TROCAR_PEERS)),peers)  ## the whole test suite
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4

check: $(READY)  ## style, types and floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_floors.py tests/test_house.py

format: $(READY)  ## put the sources into the house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)  ## the documentation, warnings are errors
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(READY)  ## time each stage on this machine
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

validate: $(READY)  ## the long validations of guidance: 200 registrations, the leak alarm's whole curve (an hour or more)
	$(BIN)/python benchmarks/registration.py
	$(BIN)/python benchmarks/tracking.py
	$(BIN)/python benchmarks/leak_alarm.py

# Other solvers, to compare with: run as programs, never imported, in an environment of their own. ParOSol comes without
# what its Python interface needs (only its executable is run); CalculiX and plastimatch are the system's packages.
PEERS := build/peers
PROGRAMS := calculix-ccx plastimatch dicom3tools
SOLVERS := parosol-py==0.1.26
MESHES := scikit-fem==12.0.2 pyamg==5.4.1 scipy==1.17.1 numpy==2.4.6
RAYS := itk-rtk==2.7.0

$(PEERS)/.ready: Makefile
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(SOLVERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $(MESHES) $(RAYS)
	@touch $@

peers: $(PEERS)/.ready  ## the solvers and programs that the tests and benchmarks compare with
	@{ command -v ccx && command -v plastimatch && command -v dciodvfy; } > /dev/null \
	|| { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq $(PROGRAMS); } \
	|| { echo "One of these is not here: apt-get install $(PROGRAMS) (as root)"; exit 1; }

lock:  ## pin the newest allowed versions, with hashes and without registry addresses
	test -x build/lock/bin/uv || { $(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet $(UV); }
	build/lock/bin/uv pip compile $(PINS) -o requirements.txt
	build/lock/bin/uv pip compile $(PINS) --group dev --all-extras -o requirements-dev.txt

PINS := pyproject.toml --universal --python-version 3.11 --upgrade --generate-hashes --no-emit-index-url --no-header --quiet

clean:  ## remove the environment and everything that was built
	rm -rf $(VENV) build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis
