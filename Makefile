# Each target prepares .venv by itself: Python 3.11 and pip are all a fresh machine needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo view test browser lint bench vllm-check lmms-check clean

.venv/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: .venv/.ready
	$(BIN)/python -m curation demo

view: .venv/.ready
	test -d runs/demo/dataset || $(BIN)/python -m curation demo
	$(BIN)/python -m app --dataset runs/demo --labels runs/demo/labels.sqlite --browser

# Debian's, for the viewer's tests; without it they are skipped and say so.
browser:
	@{ command -v chromium && command -v chromedriver; } >/dev/null || \
	  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium chromium-driver fonts-dejavu-core; } || \
	  echo "no browser could be installed here: the tests that need one will be skipped"

# Two at a time, a file in one process: fixtures of a file are made once. OMP: two processes, two cores.
test: .venv/.ready browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.ready browser
	$(BIN)/python tests/bench/bench_scoring.py
	$(BIN)/python tests/bench/bench_engine.py
	$(BIN)/python tests/bench/bench_frames.py
	$(BIN)/python tests/bench/bench_pipeline.py
	$(BIN)/python tests/bench/bench_publish.py
	$(BIN)/python tests/bench/bench_diff.py
	$(BIN)/python tests/bench/bench_frame_hashes.py
	$(BIN)/python tests/bench/bench_collator.py
	$(BIN)/python tests/bench/bench_step_time.py --words 800
	$(BIN)/python tests/bench/bench_judge_overlap.py
	$(BIN)/python tests/bench/bench_viewer_rows.py
	$(BIN)/python tests/bench/bench_viewer.py

vllm-check: .venv/.ready
	$(BIN)/python tests/bench/vllm_check.py

# lmms-eval with what its six tasks import and the torch that .venv has: its own requirements would bring a CUDA build.
.venv-lmms/.ready: tests/lmms/requirements.txt | .venv/.ready
	test -x .venv-lmms/bin/python || $(BIN)/python -m venv .venv-lmms
	.venv-lmms/bin/python -m pip install --quiet --disable-pip-version-check -r tests/lmms/requirements.txt \
	  "torch==$$($(BIN)/python -c 'from importlib.metadata import version; print(version("torch"))')"
	.venv-lmms/bin/python -m pip install --quiet --disable-pip-version-check --no-deps lmms-eval==0.7.3
	touch $@

lmms-check: .venv-lmms/.ready
	$(BIN)/python -m tests.lmms.check

clean:
	rm -rf .venv runs
