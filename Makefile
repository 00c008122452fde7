# What a person types. `make help` lists it.

KUBERNETES ?= 1.36.3
ARCH ?= $(shell go env GOARCH)

export GOFLAGS = -buildvcs=false
BUILD = CGO_ENABLED=0 go build -trimpath
# The kubectl inside provision is of this Kubernetes version: k8s.io/kubectl v0.36.3 is 1.36.3's.
KUBECTL = $(shell sed -n 's,^	k8s.io/kubectl v0,v1,p' go.mod)
KUBECTL_MINOR = $(word 2,$(subst ., ,$(KUBECTL)))
VERSION = k8s.io/component-base/version
STAMP = -X $(VERSION).gitVersion=$(KUBECTL) -X $(VERSION).gitMajor=1 -X $(VERSION).gitMinor=$(KUBECTL_MINOR) \
	-X provision/provisioner/cli.Version=$(shell git describe --always --dirty 2>/dev/null || echo development)

.PHONY: help build bundle prepare demo test test-kernel bench bench-overlay bench-drills bench-scale lint reproducible clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

build: ## bin/provision and bin/lab
	@mkdir -p bin
	@$(BUILD) -ldflags='-s -w $(STAMP)' -o bin/provision ./provisioner/cmd/provision
	@$(BUILD) -ldflags='-s -w' -o bin/lab ./testenv/cmd/lab

bundle: ## dist/bundle-KUBERNETES-linux-ARCH.tar.zst (KUBERNETES=1.36.3, ARCH of this machine)
	@components/prepare.sh $(ARCH)
	go run ./components/bundle/mkbundle --kubernetes=$(KUBERNETES) --arch=$(ARCH)

prepare: ## what the lab needs of this machine
	testenv/prepare.sh

demo: prepare build bundle ## everything from source, three lab machines, a cluster on them
	testenv/demo.sh

test: ## all tests
	testenv/test.sh

test-kernel: ## the overlay on two emulated machines with kernel WireGuard
	testenv/kernel.sh

bench: prepare build bundle ## figures as JSON lines, the overlay's last
	testenv/bench.sh
	testenv/bench-overlay.sh

bench-overlay: ## the overlay's figures alone, as JSON lines
	testenv/bench-overlay.sh

bench-drills: build bundle ## every drill, ten rounds, as JSON lines; an hour
	testenv/bench-drills.sh

bench-scale: ## plan and up against 10, 100 and 500 simulated machines, as JSON lines; no root
	testenv/bench-scale.sh

lint: ## gofmt and go vet
	@test -z "$$(gofmt -l .)" || { gofmt -l . | sed 's/$$/: not as gofmt writes it/'; exit 1; }
	go vet ./...

reproducible: ## builds the bundle twice, from two places, and compares
	components/bundle/reproducible.sh $(KUBERNETES)

clean: ## removes what make made, but not Go's cache
	rm -rf bin dist
