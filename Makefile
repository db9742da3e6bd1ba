# Every target installs what it misses of tools/packages.txt, builds with the CMake presets, and does its job.
# Nothing needs root but the packages (sudo for ordinary users).
SHELL := /bin/bash
.DEFAULT_GOAL := help
ARGS ?=
FUZZ_SECONDS ?= 60
DESTDIR ?=
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)

.PHONY: help run build test test-quick tsan fuzz bench bench-instructions bench-micro lint format image install clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' Makefile

run: build ## build and serve on the built-in policy: 3128 setup, 3129 agent, 3130 mcp, admin 9400 (ARGS=... passes flags)
	@exec build/release/exeat serve $(ARGS)

build: ## the binary, at build/release/exeat
	@tools/install-packages build
	@tools/build release exeat

test: ## everything that CI runs: format, floors, tidy on what changed, ASan+UBSan, release, a short fuzz
	@tools/install-packages build test
	@tools/test all

test-quick: ## unit tests and the fast end-to-end tests, in a debug build
	@tools/install-packages build test
	@tools/test quick

tsan: ## the concurrency tests under ThreadSanitizer
	@tools/install-packages build test
	@tools/test tsan

fuzz: ## every fuzz target for FUZZ_SECONDS (60) each; the numbers go to docs/fuzzing.md
	@tools/install-packages build test
	@tools/test fuzz $(FUZZ_SECONDS)

bench: ## Exeat beside other proxies and a bare relay, then micro (ARGS: --quick, --modes, --peers, --seconds, ...; see bench/README.md)
	@bench/install
	@tools/build bench exeat load relay micro
	@/usr/bin/python3 -B bench/run $(ARGS)
	@mkdir -p build/bench-results
	@build/bench/bench/micro --benchmark_min_time=0.1 --benchmark_out=build/bench-results/micro.json --benchmark_out_format=json

bench-instructions: ## instructions per connect, denial and HTTP request against bench/instructions/expected.json (ARGS=--update)
	@tools/install-packages build test
	@tools/build release exeat load
	@EXEAT_BINARY=$(CURDIR)/build/release/exeat EXEAT_LOAD=$(CURDIR)/build/release/bench/load /usr/bin/python3 -B bench/instructions/gate.py $(ARGS)

bench-micro: ## what the hot path costs, piece by piece (ARGS=... passes Google Benchmark's flags)
	@bench/install
	@tools/build bench micro
	@build/bench/bench/micro $(ARGS)

lint: ## format, floors, words, and clang-tidy on all files
	@tools/install-packages build test
	@tools/test lint

format: ## write the C++ files as clang-format wants them
	@tools/install-packages test
	@tools/check-format --fix

image: ## the container image with buildah on a debootstrap base, and the test that runs it
	@tools/install-packages build test container
	@tools/build-image
	@EXEAT_IMAGE=exeat:latest /usr/bin/python3 -m pytest -q tests/e2e/test_image.py

install: build ## binary, man pages and shell completion into $(DESTDIR)$(PREFIX)
	@tools/install build/release/exeat "$(DESTDIR)" "$(PREFIX)"
	@echo "installed $(DESTDIR)$(PREFIX)/bin/exeat, with man pages and completion"

clean: ## remove build/
	@rm -rf build
