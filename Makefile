# One command for each thing; CI calls the same ones. Needs Go 1.26 and Python
# 3.11, and for some targets what their line says. Everything that is fetched or
# built lies in .cache/, which may be deleted at any time.

PYTHON   ?= python3
FUZZTIME ?= 10s
SOAKTIME ?= 30m

SERVERS := $(PYTHON) scripts/with_servers.py
GOTEST  := $(PYTHON) scripts/gotest.py

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

.PHONY: test
test: ## all tests of all modules, with LocalStack and, where installed, PostgreSQL and MariaDB
	$(SERVERS) -- $(GOTEST)

.PHONY: test-local
test-local: ## all tests that need no server, and a list of those left out
	$(GOTEST) --local

.PHONY: race
race: ## make test under the race detector (needs a C compiler)
	$(SERVERS) -- $(GOTEST) --race

.PHONY: fips
fips: ## make test-local where only FIPS 140-3 cryptography runs, and the wiping of keys in Go's certified module
	$(GOTEST) --local --fips
	GOFIPS140=certified go test -count=1 ./internal/primitives

.PHONY: cover
cover: ## make test, with the coverage of each package
	$(SERVERS) -- $(GOTEST) --cover

.PHONY: test-scripts
test-scripts: ## that the servers are stopped however a run of tests ends
	$(PYTHON) scripts/test_with_servers.py

.PHONY: modules
modules: ## build and vet each module by itself, as its users get it, and run its examples
	$(PYTHON) scripts/modules.py check

.PHONY: tidy
tidy: ## go mod tidy in each module, without the workspace
	$(PYTHON) scripts/modules.py tidy

.PHONY: upgrade
upgrade: ## newest dependencies in each module
	$(PYTHON) scripts/modules.py upgrade

.PHONY: servers
servers: ## install PostgreSQL and MariaDB, with Homebrew or apt
	@if command -v brew >/dev/null; then brew install postgresql@17 mariadb; \
	else sudo apt-get update -qq && sudo apt-get install -y -qq --no-install-recommends postgresql mariadb-server; fi

.PHONY: lint
lint: ## formatting, vet, linters, known vulnerabilities, names of targets
	$(PYTHON) scripts/lint.py

.PHONY: format
format: ## format the Go files
	$(PYTHON) scripts/lint.py --format

.PHONY: quickstart
quickstart: ## run the quickstart
	go run ./examples/quickstart

.PHONY: examples
examples: quickstart ## run the quickstart and the examples' tests
	$(SERVERS) -- $(GOTEST) --module examples

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (10s)
	$(PYTHON) scripts/fuzz.py $(FUZZTIME)

.PHONY: fuzz-long
fuzz-long: ## each fuzz target for 10 minutes
	$(PYTHON) scripts/fuzz.py --keep 10m

.PHONY: bench
bench: ## rows P of the scoreboard: speed and cost, as ratios
	$(SERVERS) --durable -- $(GOTEST) -- -count=1 -p=1 -timeout=30m -run='^TestScoreboardP'

.PHONY: benchmarks
benchmarks: ## one iteration of each Go benchmark, to see that it runs
	for m in $$(cat allmodules); do (cd $$m && go test -run='^$$' -bench=. -benchtime=1x ./...) || exit 1; done

.PHONY: scoreboard
scoreboard: ## rows S of the scoreboard: reliability and security (FULL=1 for whole counts)
	$(SERVERS) -- $(PYTHON) scripts/scoreboard.py

.PHONY: soak
soak: ## readers, writers, rotation and faults for SOAKTIME (30m): wrong values, and what is left or has grown
	go run ./internal/soak -for $(SOAKTIME)

.PHONY: mutate
mutate: ## how many small changes to package envelope its tests notice
	$(PYTHON) scripts/mutate.py envelope

.PHONY: vectors
vectors: ## the committed test vectors against their generator
	$(PYTHON) scripts/vectors.py
