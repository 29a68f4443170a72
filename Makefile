# make help lists the targets.

PYTHON        ?= python3
FUZZTIME      ?= 10s
BIN           := $(CURDIR)/.cache/bin
GOLANGCI      := v2.15.0
GOFUMPT       := v0.12.0
GOVULNCHECK   := v1.9.0
GREMLINS      := v0.6.0
EACH           = for m in $$(cat allmodules); do echo "== $$m"; (cd $$m && $(1)) || exit 1; done

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: test
test: ## all tests of all modules, with LocalStack and, where installed, PostgreSQL
	$(PYTHON) scripts/with_servers.py -- $(PYTHON) scripts/test.py --servers

.PHONY: test-local
test-local: ## all tests that need no server, and a list of those left out
	$(PYTHON) scripts/test.py

.PHONY: race
race: ## the tests without servers, under the race detector
	$(PYTHON) scripts/test.py -race

.PHONY: fips
fips: ## the tests without servers, where only FIPS 140-3 cryptography runs
	GODEBUG=fips140=only $(PYTHON) scripts/test.py

.PHONY: modules
modules: ## each module by itself, as its users get it
	$(PYTHON) scripts/modules.py

.PHONY: examples
examples: ## run the quickstart
	go run ./examples/quickstart

.PHONY: lint
lint: $(BIN)/gofumpt-$(GOFUMPT) $(BIN)/golangci-lint-$(GOLANGCI) ## formatting, vet, golangci-lint with staticcheck
	@out=$$($(BIN)/gofumpt-$(GOFUMPT) -l $$(git ls-files '*.go')); test -z "$$out" || { echo "not formatted with gofumpt:"; echo "$$out"; exit 1; }
	$(call EACH,go vet -tags=localstack,postgres ./...)
	$(call EACH,$(BIN)/golangci-lint-$(GOLANGCI) run --config $(CURDIR)/.golangci.yml ./...)

.PHONY: vuln
vuln: $(BIN)/govulncheck-$(GOVULNCHECK) ## known vulnerabilities (needs vuln.go.dev)
	$(call EACH,$(BIN)/govulncheck-$(GOVULNCHECK) ./...)

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (10s)
	$(PYTHON) scripts/fuzz.py $(FUZZTIME)

.PHONY: bench
bench: ## the rows P of the scoreboard: ratios to the standard library's limit
	go test -count=1 -timeout=30m -run='^TestScoreboardP' -v ./... | grep -a 'SCOREBOARD' | cut -f2-

.PHONY: benchmarks
benchmarks: ## every Go benchmark, once, to see that it runs
	$(call EACH,go test -run='^$$' -bench=. -benchtime=1x ./...)

.PHONY: scoreboard
scoreboard: ## the rows S of the scoreboard (FULL=1 for whole counts)
	$(PYTHON) scripts/test.py -count=1 -timeout=60m -run='^TestScoreboardS'

.PHONY: cover
cover: ## coverage of each package
	go test -cover ./...

.PHONY: mutate
mutate: $(BIN)/gremlins-$(GREMLINS) ## mutation score of package envelope
	$(BIN)/gremlins-$(GREMLINS) unleash --timeout-coefficient 20 ./envelope

.PHONY: vectors
vectors: ## the committed test vectors against their generator
	$(PYTHON) -m venv .cache/vectors
	.cache/vectors/bin/python -m pip install --quiet -r testdata/gen/requirements.txt
	.cache/vectors/bin/python testdata/gen/generate.py --check

$(BIN)/gofumpt-$(GOFUMPT):
	$(call INSTALL,mvdan.cc/gofumpt@$(GOFUMPT),gofumpt)
$(BIN)/golangci-lint-$(GOLANGCI):
	$(call INSTALL,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI),golangci-lint)
$(BIN)/govulncheck-$(GOVULNCHECK):
	$(call INSTALL,golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK),govulncheck)
$(BIN)/gremlins-$(GREMLINS):
	$(call INSTALL,github.com/go-gremlins/gremlins/cmd/gremlins@$(GREMLINS),gremlins)

INSTALL = mkdir -p $(BIN) && GOWORK=off GOBIN=$(BIN) go install $(1) && mv $(BIN)/$(2) $@
