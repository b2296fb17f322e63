PYTHON ?= python3
PROFILE ?= quick
OUT ?= runs/$(PROFILE)
EXTRAS ?= cpu,test
LESSONS ?= 00 02
SEEDS ?= 10

VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/installed-$(EXTRAS)
WANTED := --constraint constraints/lock.txt --editable '.[$(EXTRAS)]'

# What of the Kaggle image the lessons use; `make kaggle KAGGLE_PYTHON=python3.12` makes it of the image's Python.
KAGGLE_PYTHON ?= $(PYTHON)
IMAGE := build/kaggle-image
IN_IMAGE := tensorflow-cpu keras numpy scipy pandas scikit-image scikit-learn nibabel matplotlib seaborn h5py pillow \
	protobuf simpleitk safetensors filelock jsonschema ipywidgets papermill 'ipykernel>=6.17'

.DEFAULT_GOAL := help
.PHONY: help env course book test regress baseline faults test-browser lessons kaggle build lint format lab publish lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  PROFILE=full runs the lessons at full size, EXTRAS=gpu,test installs TensorFlow for NVIDIA GPUs."

env: $(STAMP) ## make .venv and install the course into it, versions from constraints/lock.txt

$(STAMP): pyproject.toml constraints/lock.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "The course needs Python 3.11 to 3.13, this is %d.%d; name another: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet uv
	@# uv is several times quicker; pip knows the mirrors and proxies that some networks set up for it alone.
	@# Bytecode is made once, here: where Python may not write it, every start of TensorFlow would make it anew: 27 s, not 11.
	$(RUN) -m uv pip install --quiet --compile-bytecode --python $(RUN) $(WANTED) || $(RUN) -m pip install --quiet $(WANTED)
	@touch $@

course: env ## run all lessons on phantoms and write a report
	$(RUN) -m helpers run --profile $(PROFILE) --out $(OUT)

book: env ## make what `make course` ran into a site that needs no network, build/book/index.html
	$(RUN) -m helpers book $(OUT) --out build/book

test: env lint lessons ## check the code, run the lessons with and without solutions, run the unit tests
	@# Two at a time: most of a test is tracing and starting, on one core. Longest files first, see tests/conftest.py.
	$(RUN) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
	$(RUN) -m pytest --doctest-modules helpers --ignore helpers/bench/peers --quiet

regress: env ## run every lesson again and hold its numbers to the baseline; FAULTS=1 plants a fault for each instead
	$(RUN) -m $(if $(FAULTS),tests.planted_faults,helpers run --regress --again --out runs/regress)

baseline: env ## run every lesson with SEEDS seeds, and write anew what its numbers should be: hours, resumed, yours to judge
	$(RUN) -m helpers baseline --seeds $(SEEDS) --out runs/baseline

faults: env ## plant every fault that people's files and settings have, and print what is made of each
	$(RUN) -m tests.faults

test-browser: env ## open the lessons' viewers in JupyterLab in a headless Chromium, and use them
	$(RUN) -m pytest tests/browser

lessons: env ## run the quick lessons both ways, unfilled and solved, and hold their numbers to the baseline
	$(RUN) -m helpers run --profile quick --out runs/quick --variant both --regress

kaggle: env $(IMAGE)/installed ## run LESSONS as Kaggle runs them: its versions, the wheel, no network (writes /kaggle)
	$(RUN) tests/keras_versions.py --image $(IMAGE)
	$(RUN) tests/kaggle_run.py --image $(IMAGE) $(LESSONS)

$(IMAGE)/installed: constraints/kaggle.txt
	$(KAGGLE_PYTHON) -m venv $(IMAGE)
	$(IMAGE)/bin/python -m pip install --quiet --constraint constraints/kaggle.txt $(IN_IMAGE)
	@touch $@

build: env ## write the notebooks from notebooks/src
	$(RUN) -m helpers build

lint: env ## ruff on code and notebooks; notebooks agree with their sources
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) tests/docstrings.py
	$(RUN) -m helpers build --check

format: env ## let ruff mend and format code, then write the notebooks again
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .
	$(RUN) -m helpers build

lab: env ## open the lessons in JupyterLab
	$(RUN) -m jupyterlab notebooks

publish: env ## write the name of your repository wherever it stands: make publish ACCOUNT/NAME
	$(RUN) -m helpers publish '$(filter-out $@,$(MAKECMDGOALS))'

ifeq (publish,$(firstword $(MAKECMDGOALS)))
.DEFAULT: ; @: # the name is a word of the command, and no target
endif

lock: env ## resolve constraints/lock.txt anew, for Python 3.11 to 3.13 on Linux, macOS and Windows
	$(RUN) -m uv pip compile --universal --python-version 3.11 --upgrade --extra dev --no-annotate \
		--custom-compile-command 'make lock' --output-file constraints/lock.txt pyproject.toml

clean: ## give the disk back: .venv, runs, build, phantoms, caches; your downloads in data/ stay
	rm -rf $(VENV) build dist runs data/phantoms .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
