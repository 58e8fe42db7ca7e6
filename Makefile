# The few verbs of this project. Each does its own set-up; `.ci/run` calls the same ones.
#
#   make quickstart   train a two-million-parameter model on the text at hand, and let it speak
#   make test         run all the tests
#   make parity       compare every component with its references, and write docs/reference/parity.md
#   make docs         write the reference pages anew, from the components, checks and docstrings
#   make guide        build the guide into build/guide
#   make lint         ruff, and mypy in strict mode on the language, the registry and evaluation

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
# Tests run side by side, one process a core, each with one thread of its own.
WORKERS ?= auto

.PHONY: install quickstart test test-lowest test-lm-eval parity lint format benchmark docs guide language-server clean

install: $(VENV)/installed

# The packages in plugins/ that bring components; they are found by their entry points, as anybody's are.
PLUGINS := $(addprefix plugins/stlm-,attention bytes ffn moe optimizers sharing tensorboard)

$(VENV)/installed: pyproject.toml constraints.txt $(PLUGINS:%=%/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[fast,sentencepiece,plugins,dev]" $(PLUGINS:%=--editable ./%)
	@touch $(VENV)/installed

quickstart: install
	$(RUN) stlm train specs/quickstart.yaml --set general.logging.wandb_run_name=quickstart
	@echo
	$(RUN) stlm generate "$$(ls -td outputs/quickstart* | head -1)" --prompt "The list" --max-new-tokens 120 --temperature 0.7

test: install
	OMP_NUM_THREADS=1 $(RUN) pytest -n $(WORKERS)

# The lower bounds that pyproject.toml promises, in an environment of their own.
test-lowest:
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet --constraint constraints-lowest.txt --editable ".[fast,dev]"
	OMP_NUM_THREADS=1 $(VENV)-lowest/bin/python -m pytest -n $(WORKERS)

# The tests of plugins/stlm-lm-eval, in an environment with lm-evaluation-harness, which brings 40 packages of its own.
test-lm-eval:
	$(PYTHON) -m venv $(VENV)-lm-eval
	$(VENV)-lm-eval/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]" --editable plugins/stlm-lm-eval "lm_eval[hf]"
	cd plugins/stlm-lm-eval && OMP_NUM_THREADS=1 ../../$(VENV)-lm-eval/bin/python -m pytest

# In one process, for the page is what that process has seen.
parity: install
	OMP_NUM_THREADS=1 $(RUN) pytest -q -p no:xdist tests/parity --deselect tests/parity/test_table.py --write-parity docs/reference/parity.md

lint: install
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

format: install
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

docs: install
	$(RUN) stlm.registry.reference docs/reference/components
	$(RUN) stlm.testing.reference docs/reference/conformance.md
	$(VENV)/bin/python docs/python_names.py docs/reference/python.md
	$(RUN) stlm.registry.schema specs/stlm.schema.json

guide: install
	$(RUN) sphinx -q -n -W --keep-going -c docs . build/guide

# What the tests of `stlm schema` ask about specs, as editors do; without it they are skipped.
LANGUAGE_SERVER := $(HOME)/.cache/stlm-language-server

language-server:
	npm install --prefix $(LANGUAGE_SERVER) --no-audit --no-fund yaml-language-server@2.0.0

benchmark: install
	$(VENV)/bin/python tests/benchmarks/front_end.py
	$(VENV)/bin/python tests/benchmarks/many_plugins.py
	$(VENV)/bin/python tests/benchmarks/loss_memory.py
	$(VENV)/bin/python tests/benchmarks/untrained_loss.py
	$(VENV)/bin/python tests/benchmarks/decoding.py
	$(VENV)/bin/python tests/benchmarks/fused_projections.py
	$(VENV)/bin/python tests/benchmarks/serving.py
	$(VENV)/bin/python tests/benchmarks/preparation.py
	$(VENV)/bin/python tests/benchmarks/preparation_memory.py
	$(VENV)/bin/python tests/benchmarks/preparation_kill.py
	$(VENV)/bin/python tests/benchmarks/masked_rows.py
	$(VENV)/bin/python tests/benchmarks/exactness.py
	$(RUN) pip install --quiet --constraint constraints.txt accelerate
	$(VENV)/bin/python tests/benchmarks/training.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
