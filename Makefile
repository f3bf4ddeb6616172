# Needs Go and make; `make test` installs what else the tests need. `make help` lists the targets.

GO      ?= go
LINTER  := build/golangci-lint
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

TEST_TIMEOUT ?= 10m
FUZZTIME     ?= 20s

.PHONY: help build test setup lint lint-selftest tidy-check bench fuzz generate clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

build: ## bin/attune, static and reproducible
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/attune ./cmd/attune

test: setup ## every test, with the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout $(TEST_TIMEOUT) ./...

# The race detector needs a C compiler with its headers; actions of the tests are run by python3 and bash.
setup: ## what the tests need beside Go (Debian and Ubuntu, as root; elsewhere it says what is missing)
	@missing=""; \
	echo '#include <stdlib.h>' | gcc -fsyntax-only -x c - 2>/dev/null || missing="gcc libc6-dev"; \
	for tool in bash python3; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	test -n "$$missing" || exit 0; \
	if test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null; then \
		echo "make setup: the tests need $$missing: install them, or run 'make setup' as root on Debian or Ubuntu" >&2; exit 1; \
	fi; \
	echo "make setup: installing $$missing"; export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null

lint: $(LINTER) ## the linter, and formatting
	$(LINTER) run ./...
	$(LINTER) fmt --diff ./...

# The linter must report each planted violation (a line that says: want LINTER) and nothing else.
lint-selftest: $(LINTER) ## proves that the linter's own rules can fail
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && cp -r tools/testdata/lint/. .golangci.yml "$$dir" && cd "$$dir" && \
	grep -rnE --include='*.go' '// want [a-z]+$$' . | sed -E 's,^\./([^:]+:[0-9]+):.* ,\1 ,' | sort >want && \
	{ $(CURDIR)/$(LINTER) run --output.text.print-issued-lines=false ./... 2>err || test $$? = 1; } | \
		sed -nE 's/^([^:]+:[0-9]+):.*\(([a-z]+)\)$$/\1 \2/p' | sort >got && \
	{ test -s want && diff want got || { cat err >&2; echo "lint-selftest: the linter missed (<) or invented (>) a violation" >&2; exit 1; }; } && \
	echo "lint-selftest: $$(wc -l <want) planted violations reported"

$(LINTER): tools/go.mod tools/go.sum
	cd tools && $(GO) build -o ../$(LINTER) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

tidy-check: ## go.mod and go.sum are complete, and the modules are what they were
	$(GO) mod tidy -diff
	$(GO) mod verify

bench: ## every benchmark
	$(GO) test -run '^$$' -bench . -benchmem ./...

fuzz: ## every fuzz target, FUZZTIME=20s each
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

generate: ## files that are made from code, such as the diagram in docs/lifecycle.md
	$(GO) generate ./...

clean: ## what was built
	rm -rf bin build
