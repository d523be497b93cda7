# Every go command needs this flag: giouring pulls syscall.munmap by linkname
# (docs/decisions/0001-giouring-linkname.md). No cgo: one static binary.
export GOFLAGS := -ldflags=-checklinkname=0
export CGO_ENABLED := 0

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.8.0

# Arguments of `make run`, say ARGS="--data /tmp/x --cores 1".
ARGS ?=
# Packages under test at the same time: they start brokers, and the brokers share the machine.
JOBS ?= 2
# make chaos: the fault (kill, power, eio, enospc, recreate, storm), how often, and the engine
# (uring, epoll, both in alternation). make soak: for how many minutes.
F ?= kill
N ?= 100
IO ?= both
MIN ?= 10
# make sim: how many seeds; make sim-replay: which one; make mutants: how many at most.
SEEDS ?= 1000
SEED ?= 1
BUDGET ?= 300
# make fuzz: how long each target runs.
FUZZTIME ?= 10s

.DEFAULT_GOAL := help
.PHONY: help build run test lint compat race cover fuzz sim sim-replay mutants chaos corrupt soak bench-produce bench-fetch bench-e2e bench-cold bench-partitions bench-restart clean

help: ## show this list
	@grep -hE '^[a-z0-9 -]+:.*## ' $(MAKEFILE_LIST) | \
		awk -F ':.*## ' '{n = split($$1, t, " "); for (i = 1; i <= n; i++) printf "  make %-14s %s\n", t[i], $$2}'

build: ## build bin/millrace and bin/loadgen
	go build -trimpath -o bin/ ./cmd/...

run: build ## build and start the broker: Kafka on 127.0.0.1:9092, admin on 127.0.0.1:9644, data in ./data
	@exec ./bin/millrace serve $(ARGS)

test: build ## format, vet, house rules, unit tests, simulation, real Go clients
	@bad=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
		if [ -n "$$bad" ]; then echo "gofmt -w these:"; echo "$$bad"; exit 1; fi
	go vet ./...
	go test -count=1 -p $(JOBS) -timeout 9m ./...
	NOBUILD=1 ./test/compat/run.sh -only franz-go,sarama,kafka-go

lint: ## go vet, staticcheck, govulncheck
	go vet ./...
	go run $(STATICCHECK) ./...
	@out=$$(go run $(GOVULNCHECK) ./... 2>&1); code=$$?; echo "$$out"; \
		case "$$out" in *"fetching vulnerabilities"*) echo "govulncheck: no way to its database from here, nothing was checked"; exit 0;; esac; \
		exit $$code

compat: build ## install foreign Kafka clients and run them against a fresh broker
	./test/compat/run.sh

race: ## unit tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race -count=1 -p $(JOBS) -timeout 20m ./...

cover: ## unit tests with coverage; report in .cache/cover.html
	@mkdir -p .cache
	go test -count=1 -p $(JOBS) -timeout 15m -coverprofile=.cache/cover.out -coverpkg=./... ./...
	go tool cover -html=.cache/cover.out -o .cache/cover.html
	@go tool cover -func=.cache/cover.out | tail -n 1

fuzz: ## every fuzz target for FUZZTIME each
	@set -e; for file in $$(grep -lE '^func Fuzz' -r --include='*_fuzz_test.go' --include='*_test.go' . | sort -u); do \
		for target in $$(grep -oE '^func Fuzz[A-Za-z0-9_]*' $$file | cut -c6-); do \
			echo "== $$file $$target"; \
			go test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) ./$$(dirname $$file); \
		done; \
	done

sim: ## seeded simulation of disk, network, clocks and crashes: SEEDS of each scenario
	go run ./test/sim -seeds $(SEEDS)

sim-replay: ## one seed of the simulation, twice, with its trace: SEED=n
	go run ./test/sim -replay $(SEED)

mutants: ## deliberately wrong variants of the code: the simulation must catch each
	go run -tags mutants ./test/sim -mutants -budget $(BUDGET)

chaos: build ## faults against the real broker: F=kill, power, eio, enospc, recreate or storm, N=100
	go run ./test/chaos -f $(F) -n $(N) -io $(IO) -bin bin/millrace
	$(if $(filter power,$(F)),go run ./test/chaos -f power -n 40 -io $(IO) -mutant)
	$(if $(filter eio,$(F)),go run ./test/chaos -f eio -n 6 -fs ext4 -io $(IO) -mutant)

corrupt: build ## N damages (flipped bits, cuts, losses) of data at rest: found, or harmless, never served
	go run ./test/corrupt -n $(N) -bin bin/millrace

soak: build ## mixed load and clean restarts for MIN minutes: nothing is lost, nothing grows
	go run ./test/chaos -f soak -n $(MIN) -io $(IO) -v -bin bin/millrace

bench-produce bench-fetch bench-e2e bench-cold: build ## side by side with a real Apache Kafka (needs Java and Maven)
	go run ./bench/sidebyside $(@:bench-%=%)

bench-partitions bench-restart: build ## what many partitions cost; how long a start takes (KAFKA=0: without Kafka)
	go run ./bench/$(@:bench-%=%)

bench-kafka: build ## the side by side of record with Apache Kafka, hours, resumable (CORE=1: an hour, QUICK=1: ten minutes)
	go run ./bench/record/versus

bench-engines: build ## io_uring against epoll in the same binary (CORE=1, QUICK=1)
	go run ./bench/engines

clean: ## remove what builds and runs left behind, data excepted
	rm -rf bin .cache
	go clean -testcache
