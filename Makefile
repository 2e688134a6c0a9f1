# Two commands for a newcomer; each does all of its own set-up.
#   make demo   train MECAM on the built-in corpus and write runs/demo/report.html
#   make test   run the tests
# For who repeats what docs/results.md says:
#   make results DATA=FOLDER [ONLY=a,b] [WORK=FOLDER]   run the recipes of configs/results, write tables and charts
#   make results-list DATA=FOLDER [WORK=FOLDER]         the recipes, their times, and how far they are
#   make results-docs                                   write the pages from docs/results/*.json; runs nothing
# For who changes code that depends on the system:
#   make platforms   check types as Windows and macOS have them, and that files are opened in a named encoding
# For who makes a release:
#   make packages    build the sdist and the wheel into dist/, and check them as the package index does
# For who writes the documentation:
#   make docs         build site/, with warnings as errors; it opens from the disk and from any static server
#   make docs-links   ask for every address that the pages link to (needs a network)
# And one for who changes the built-in model:
#   make pretrained DATA=FOLDER   make its weights and cards again (hours; needs the data sets)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# torch alone is pinned: an unpinned one can bring gigabytes that a machine without a GPU has no use for.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint platforms packages results results-list results-docs docs docs-links pretrained clean help

help:
	@sed -n 's/^#   /  /p' Makefile

demo: $(VENV)/installed
	@$(BIN)/mecam demo

test: $(VENV)/installed-dev
	@$(BIN)/pytest -q --numprocesses auto

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

platforms: $(VENV)/installed-dev
	$(BIN)/ruff check --preview --select PLW1514 src benchmarks examples pretraining tools
	$(BIN)/mypy --platform win32
	$(BIN)/mypy --platform darwin

packages: $(VENV)/installed-dev
	rm -rf build dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl

# A network for expressions is converted once, and not trained: pretraining/expression_network.py. The clip that ships
# needs espeak-ng: pretraining/demo_clip.py.
DATA ?= data
WORK ?= work
pretrained: $(VENV)/installed-dev
	@$(PIP) --editable ".[asr]"
	$(BIN)/mecam assets fetch asr
	$(BIN)/python pretraining/mean_face.py --data $(DATA)
	$(BIN)/python pretraining/face_gate.py --data $(DATA) --work $(WORK)/faces
	$(BIN)/python benchmarks/people.py --data $(DATA) --work $(WORK)/people --output $(WORK)/people.json
	$(BIN)/python pretraining/face_quality.py --data $(DATA) --work $(WORK)/faces --people $(WORK)/people.json
	$(BIN)/python pretraining/voice_gate.py --data $(DATA) --work $(WORK)/voice
	$(BIN)/python pretraining/voice.py --data $(DATA) --work $(WORK)/voice
	$(BIN)/python pretraining/text_models.py --data $(DATA) --work $(WORK)/texts
	$(BIN)/python pretraining/text_quality.py --data $(DATA)
	$(BIN)/python pretraining/write_docs.py

ONLY ?=
RESULTS := $(BIN)/python -m benchmarks.results --data $(DATA) --work $(WORK) --only "$(ONLY)"
results: $(VENV)/installed-dev
	@$(RESULTS)

results-list: $(VENV)/installed
	@$(RESULTS) --list

results-docs: $(VENV)/installed
	@$(RESULTS) --docs

docs: $(VENV)/installed-docs
	@$(BIN)/python -m tools.docs

docs-links: $(VENV)/installed-docs
	@$(BIN)/python -m tools.docs --external

clean:
	rm -rf $(VENV) build site dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("mecam needs Python 3.10 or newer; name one with: make PYTHON=python3.12 ...") if sys.version_info < (3, 10) else None'
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing mecam and what it needs into $(VENV) (once; a minute or two)"
	@$(PIP) --editable ".[train,offline]"
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing mecam and its test tools into $(VENV) (once; a minute or two)"
	@$(PIP) --editable ".[train,offline,dev]"
	@touch $@ $(VENV)/installed $(VENV)/installed-docs

# The reference is written from the command line and the docstrings, so the package is there, without PyTorch.
$(VENV)/installed-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing mecam and what builds its site into $(VENV) (once; a minute)"
	@$(PIP) --editable ".[client,docs]"
	@touch $@
