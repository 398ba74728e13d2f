# make demo   track a built-in scene, measure it, draw it, export it; results in demo/
# make test   the whole test suite
# make fuzz   500 broken files for every layout; FUZZ=5000 for more
# make lint   style, formatting, import contracts, types
# make check-viewer   the viewer in a real Chromium, alone: one that is installed, or playwright's own, which it fetches
# make check-interop   what Newton, NVIDIA's asset validator and, where there is one for this Python, Blender make of our
#             files; needs 2.5 GB of disk for an environment of its own, .venv-interop
#
# Each makes .venv by itself. Another interpreter: make demo PYTHON=/usr/bin/python3.12

VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.warpgs-installed
INTEROP := .venv-interop
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

FUZZ := 500

.PHONY: demo test fuzz lint check-viewer check-interop

demo: $(INSTALLED)
	$(RUN) examples/00_demo.py $(ARGS)

# The viewer is tested in a Chromium that is installed, or else in playwright's own (100 MB), if it comes within so many
# seconds.
fetch-chromium = @{ command -v chromium || command -v chromium-browser || command -v google-chrome || \
	timeout --kill-after=5 $(1) $(RUN) -m playwright install --only-shell chromium; } >/dev/null 2>&1 || \
	echo "no Chromium here, and none could be fetched: the test of the viewer in a browser is skipped"

# A file of tests stays on one core: what its tests share is made once. The browser draws on all of them, and what it
# draws late is wrong: it has them for itself.
BROWSER := tests/view/test_browser.py
test: $(INSTALLED)
	$(call fetch-chromium,20)
	$(RUN) -m pytest --numprocesses=auto --dist=loadfile $(if $(ARGS),$(ARGS),--ignore=$(BROWSER))
	$(if $(ARGS),,$(RUN) -m pytest $(BROWSER))

fuzz: $(INSTALLED)
	WARPGS_FUZZ=$(FUZZ) $(RUN) -m pytest tests/scenes/test_fuzzed.py --numprocesses=auto $(ARGS)

lint: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(VENV)/bin/lint-imports
	$(RUN) -m pyright

check-viewer: $(INSTALLED)
	$(call fetch-chromium,600)
	$(RUN) -m pytest $(BROWSER) -rs $(ARGS)

check-interop: $(INTEROP)/.installed
	$(INTEROP)/bin/python -m pytest tests/interop -rs $(ARGS)

$(INTEROP)/.installed: pyproject.toml
	$(PYTHON) -m venv $(INTEROP)
	$(INTEROP)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[interop]"
	@$(INTEROP)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[interop,blender]" || \
		echo "there is no Blender for this Python: its tests are skipped"
	@touch $@

# Made again when the dependencies change.
$(INSTALLED): pyproject.toml
	@test -x $(RUN) || test -n "$(PYTHON)" || { \
		echo "warpgs needs Python 3.11 or newer and found none; install one, or name it: make PYTHON=/path/to/python" >&2; \
		exit 1; }
	@test -x $(RUN) || { echo "$(PYTHON) -m venv $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@$(RUN) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(VENV) holds a Python older than 3.11; remove that folder and try again" >&2; exit 1; }
	$(RUN) -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@
