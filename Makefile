# The thin bootstrap around the Snakefile: a private uv, the locked environment, then one command each.
#   make book              run the notebooks (profile quick) and build book/_build/html
#   make book PROFILE=full the same at the poster's size: VITAE_DATA=... make book PROFILE=full
#   make pdf               the book on paper, by Chromium: book/_build/vitae.pdf
#   make full              every run of the poster's size, resumed if it was stopped: VITAE_DATA=... make full
#   make test              pytest and nbval
#   make install           only the environment, .venv, for papermill and vitae
#   make lab               JupyterLab in notebooks/, in that environment
#   make wheel             build/dist: the wheel and its source
PYTHON  ?= python3
PROFILE ?= quick
CORES   ?= $(shell $(PYTHON) -c "import os; print(os.cpu_count())")

UV     := .uv/bin/uv
BIN    := .venv/bin
READY  := .venv/ready
# All extras of pyproject.toml.
EXTRAS := data notebooks book cluster test

# Prints a line for each finished step.
STEPS := PYTHONPATH=$(abspath book/_snakemake) $(BIN)/snakemake --cores $(CORES) --logger steps --rerun-incomplete

# Where `make full` runs: a worktree of its own, so that edits do not touch it.
STUDY   ?= build/study
DEVICE  ?= auto

# JupyterLab asks nobody whether to fetch news from its makers.
QUIET_LAB := .venv/etc/jupyter/labconfig/page_config.json
# More options of `make lab`, such as --no-browser.
LAB_OPTIONS ?=

.PHONY: help install lab book full pdf test lock wheel clean
help:
	@sed -n '2,9s/^# *//p' Makefile

$(UV):
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	  { echo "vitae needs Python 3.11 or newer, and '$(PYTHON)' is older: try 'make PYTHON=python3.12'." >&2; exit 2; }
	@$(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check uv 2> .uv/log || { cat .uv/log >&2; exit 1; }

$(READY): requirements.lock pyproject.toml | $(UV)
	@echo "installing the locked packages into .venv: a minute or two, and some gigabytes"
	@start=$$(date +%s) && \
	  $(UV) venv --quiet --clear --python $(PYTHON) .venv && \
	  VIRTUAL_ENV=.venv $(UV) pip sync --quiet --require-hashes requirements.lock && \
	  VIRTUAL_ENV=.venv $(UV) pip install --quiet --no-deps --no-build-isolation --editable . && \
	  $(BIN)/python -m ipykernel install --sys-prefix --name vitae --display-name vitae >/dev/null && \
	  mkdir -p $(dir $(QUIET_LAB)) && echo '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}' > $(QUIET_LAB) && \
	  echo "installed in $$(( $$(date +%s) - start )) s"
	@touch $@

install: $(READY)

# Notebooks run in a kernel of this environment, whatever kernels the user has registered.
export JUPYTER_PATH := $(abspath .venv/share/jupyter)
export PATH := $(abspath $(BIN)):$(PATH)

lab: $(READY)
	@cd notebooks && $(abspath $(BIN))/jupyter lab $(LAB_OPTIONS)

book: $(READY)
	@echo "building the book in profile $(PROFILE), $(CORES) steps at a time; logs are in build/logs"
	@$(STEPS) --config profile=$(PROFILE) -- book
	@echo "the book: file://$(abspath book/_build/html/index.html)"

# Resumes where it was stopped, and commits nothing: copy book/records from there when you are content.
full: $(READY)
	@test -d $(STUDY) || git worktree add --quiet --detach $(STUDY) HEAD
	@echo "the study runs in $(STUDY), on the commit $$(git -C $(STUDY) log -1 --format='%h %s')"
	@cd $(STUDY) && $(if $(VITAE_DATA),VITAE_DATA='$(abspath $(VITAE_DATA))') nice $(abspath $(BIN)/python) -m vitae study --profile full --device $(DEVICE)

pdf: $(READY)
	@test -x "$${CHROMIUM:-/usr/bin/chromium}" || \
	  { echo "make pdf prints with Chromium, and $${CHROMIUM:-/usr/bin/chromium} is none: install it, or name one by \$$CHROMIUM." >&2; exit 2; }
	@$(STEPS) --config profile=$(PROFILE) -- pdf
	@echo "the book on paper: $(abspath book/_build/vitae.pdf)"

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n $(CORES) --dist worksteal
	@# Its own home, so that stored outputs depend on no other run; trained first, since notebooks share runs.
	@VITAE_HOME=build/nbval $(STEPS) --config profile=smoke -- runs
	VITAE_PROFILE=smoke VITAE_HOME=$(abspath build/nbval) $(BIN)/python -m pytest -n $(CORES) --dist loadscope --nbval-lax notebooks

lock: | $(UV)
	$(UV) pip compile pyproject.toml $(EXTRAS:%=--extra %) --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --output-file requirements.lock --quiet

wheel: | $(UV)
	rm -rf build/dist
	@$(UV) build --quiet --out-dir build/dist

clean:
	rm -rf build runs book/_build book/notebooks book/records/smoke book/records/quick figures/smoke figures/quick
