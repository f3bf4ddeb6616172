# Needs Go and make; `make test` installs what else the tests need. `make help` lists the targets.

GO      ?= go
LINTER  := build/golangci-lint
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

TEST_TIMEOUT ?= 10m
FUZZTIME     ?= 20s
EXECUTIONS   ?= 2000

.PHONY: help build test setup lint lint-selftest tidy-check bench fuzz generate chaos clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

build: ## bin/attune, static and reproducible
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/attune ./cmd/attune

test: setup ## every test, with the race detector, beside a PostgreSQL, a RabbitMQ and an S3 server of their own
	CGO_ENABLED=1 $(GO) run ./internal/testserver/with $(GO) test -race -timeout $(TEST_TIMEOUT) ./...

setup: ## what the tests need beside Go (Debian and Ubuntu, as root; elsewhere it says what is missing)
	@tools/setup

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
	$(GO) run ./internal/testserver/with $(GO) test -run '^$$' -bench . -benchmem ./...

chaos: ## the long form of the chaos test: 2,000 executions while everything is killed and restarted
	CGO_ENABLED=1 ATTUNE_CHAOS_EXECUTIONS=$(EXECUTIONS) $(GO) run ./internal/testserver/with \
		$(GO) test -race -timeout 60m -count 1 -run '^TestChaos$$' -v ./e2e

fuzz: ## every fuzz target, FUZZTIME=20s each
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
		done; \
	done

generate: ## files that are made from code: the diagram in docs/lifecycle.md, the OpenAPI document
	$(GO) generate ./...

clean: ## what was built
	rm -rf bin build
