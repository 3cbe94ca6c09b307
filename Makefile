# `make demo` and `make test` are all there is to type: each sets up .venv
# first. The set-up runs again only when what it installs changed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: gpu-install gpu demo test test-levels test-rest parity bench bench-full \
  audit clean
.DELETE_ON_ERROR:

# Of every package the version that the figures were measured with, or with
# LATEST=1 the newest that pyproject.toml allows.
INSTALL := $(BIN)/python -m pip install --quiet \
  $(if $(LATEST),--upgrade,--constraint benchmarks/constraints.txt) --editable
INSTALLED := .venv/installed$(if $(LATEST),-latest)

$(INSTALLED): pyproject.toml benchmarks/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	rm -f .venv/installed*
	$(INSTALL) '.[dev]'
	touch $@

# JAX for an NVIDIA GPU; PyTorch's wheels bring CUDA already.
gpu-install: $(INSTALLED)
	$(INSTALL) '.[cuda]'

# On a machine rented by the minute, which may have no network: by the Python
# that it has, unless .venv is there. Run again, it adds process repetitions.
gpu:
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m benchmarks gpu --out runs/gpu \
	  $(if $(DATA_DIR),--data-dir $(DATA_DIR))

demo: $(INSTALLED)
	$(BIN)/python -m benchmarks.demo

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) --jobs 2 test-levels test-rest

# Two processes of one thread each: the runs are many and small. These levels
# take as long as all the rest.
LEVELS := $(patsubst %,parity_tests/test_%.py,steps layers geometries \
  faults fast_paths check check_forward checkpoint diagnose explore \
  precision protocol recorded bfloat16)
test-levels test-rest: export OMP_NUM_THREADS = 1

test-levels: $(INSTALLED)
	$(BIN)/python -m pytest $(LEVELS)

test-rest: $(INSTALLED)
	$(BIN)/python -m pytest $(addprefix --ignore=,$(LEVELS))

parity: $(INSTALLED)
	$(BIN)/python -m parity_tests report

# Ten minutes on two cores, hence few rounds of the best variants alone: a single
# repetition would give no interval. bench-full takes hours.
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks ladder --rounds 5 --budget 10 \
	  --workloads lecture dcgan --variants headline --out runs/bench.json
	$(BIN)/python -m benchmarks report runs/bench.json --out runs/bench

BATCHES := lecture lecture:128 lecture:512 lecture:2048 \
  mlp mlp:512 mlp:2048
bench-full: $(INSTALLED)
	$(BIN)/python -m benchmarks ladder --out runs/bench-full.json
	$(BIN)/python -m benchmarks ladder --variants headline \
	  --workloads $(BATCHES) --out runs/bench-batches.json
	$(BIN)/python -m benchmarks ladder --matmul bfloat16 \
	  --variants headline "torch compile" --out runs/bench-bfloat16.json
	$(BIN)/python -m benchmarks ladder --workloads lecture \
	  --variants headline sweep --out runs/bench-seeds.json
	for part in full batches bfloat16 seeds; do \
	  $(BIN)/python -m benchmarks report runs/bench-$$part.json \
	    --out runs/bench-$$part || exit 1; \
	done

# The pinned packages against PyPI's list of known vulnerabilities. The tool has
# a separate environment, so that it changes none of these versions.
audit: $(INSTALLED)
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet pip-audit
	.venv/audit/bin/pip-audit --requirement benchmarks/constraints.txt \
	  --no-deps --disable-pip

clean:
	rm -rf .venv
