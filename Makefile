# Every target sets itself up in .venv: Python 3.11, make and a C compiler are enough.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= configs/complete_journey.yaml
# One thread for OpenBLAS (implicit asks for it), and no spinning OpenMP threads.
export OPENBLAS_NUM_THREADS := 1
export OMP_WAIT_POLICY := PASSIVE
export BENTOML_DO_NOT_TRACK := True

.PHONY: demo test thorough check audit serve bench lock clean

demo: $(VENV)/.runtime          ## the whole main job on real data
	$(BIN)/repurchase demo --config $(CONFIG)

serve: $(VENV)/.runtime         ## the API on what was published last
	$(BIN)/repurchase serve --config $(CONFIG)

test: check                     ## all checks and all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

thorough: $(VENV)/.dev          ## what tests draw, drawn more often
	THOROUGH=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
	  -rP -p no:cacheprovider tests/features/test_engines_agree.py \
	  tests/serving/insight/test_campaign_truth.py tests/serving/test_fuzz.py \
	  tests/end_to_end/test_failures.py tests/end_to_end/test_notebooks.py

check: $(VENV)/.dev             ## format, lint, types, layers, clean notebooks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/nbstripout --verify notebooks/*.ipynb
	$(BIN)/python tests/audit.py

audit: $(VENV)/.dev             ## known vulnerabilities of the locked packages, or fail
	$(BIN)/python tests/audit.py --must-reach

bench: $(VENV)/.dev             ## speed beside named rivals, ratios printed
	$(BIN)/python -m pytest tests/benchmarks/bench_*.py -s -p no:cacheprovider

lock: $(VENV)/.dev              ## resolve pyproject.toml anew into the lock files
	$(BIN)/uv pip compile pyproject.toml --extra build --python-version 3.11 \
	  --generate-hashes --no-header --no-emit-index-url -q -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --all-extras --python-version 3.11 \
	  --generate-hashes --no-header --no-emit-index-url -c requirements.lock -q -o requirements-dev.lock

clean:                          ## remove caches; the environment and the workspace stay
	rm -rf .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find features training serving tests -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "installing the locked packages into $(VENV): one to three minutes, once"
	$(BIN)/python -m pip install --disable-pip-version-check -q --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/python
	@echo "installing the locked packages into $(VENV): two to four minutes, once"
	$(BIN)/python -m pip install --disable-pip-version-check -q --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $(VENV)/.runtime $@
