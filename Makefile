# Everything starts here: `make run` to use Isolab, `make test` to prove it. `make help` lists the rest.
# What a step makes is its target, so that a step with nothing to do takes no time.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

ADDRESS ?= 127.0.0.1:8080
TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
TRIPLE = $(shell rustc -vV | sed -n 's/^host: //p')
# One build of the programs serves `make run` and the benchmarks alike. `make test` has a debug build, and its checks.
PROGRAMS = $(TARGET)/$(TRIPLE)/release

WEB_SOURCES = $(shell find web/src web/styles web/public -type f) web/build.mjs web/tsconfig.json

.PHONY: help
help: ## List what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: run
run: setup-run build images ## Install what is missing, build, and serve on 127.0.0.1:8080
	@exec "$(PROGRAMS)/isolab" serve --listen $(ADDRESS)

.PHONY: vm
vm: setup-vm build images ## Install QEMU if it is missing, and build what labs in virtual machines are made of
	@"$(PROGRAMS)/isolab" vm build

.PHONY: setup-run setup-vm setup-test setup-bench setup-box
setup-run setup-vm setup-test setup-bench setup-box: setup-%:
	@scripts/setup $*

.PHONY: build
build: web ## Build the programs
	cargo build --release --locked --bins

.PHONY: images
images: ## Build what labs are made of, from this machine's distribution
	@sandbox/images/build

.PHONY: box
box: setup-box build images ## Build the instructors' VM, a box that vagrant starts (vagrant/README.md)
	@"$(PROGRAMS)/isolab" vm box

.PHONY: web
web: web/dist/app.js ## Bundle the pages' scripts and styles

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci

web/dist/app.js: web/node_modules/.package-lock.json $(WEB_SOURCES)
	cd web && npm run --silent build

.PHONY: types
types: ## Generate the TypeScript types from the protocol crate
	scripts/types web/src/generated

.PHONY: test
test: setup-test ## Prove everything, as root and as an ordinary user
	@scripts/test

.PHONY: lessons-vm
lessons-vm: vm ## Prove the lessons in virtual machines, drafts too: an hour where they are emulated
	"$(PROGRAMS)/isolab" lesson test --tier vm --labs 2

.PHONY: endure
endure: build ## Kill the engine 200 times under load, have 500 containers in one lab, restore 200 virtual machines
	ISOLAB_KILLS=200 ISOLAB_MANY=500 cargo test --locked --workspace --test docker_cli -- --nocapture killed:: many::
	ISOLAB_RESTORES=200 ISOLAB_BIN_DIR=$(PROGRAMS) cargo test --locked --workspace --test machines -- fresh::

.PHONY: vagrant-test
vagrant-test: setup-box build images ## Have vagrant start the instructors' VM, and fetch a lesson from it, as root
	@ISOLAB_BIN_DIR="$(PROGRAMS)" vagrant/test

.PHONY: parity
parity: setup-test build images ## Hold the engine against a real dockerd, as root
	cargo test --locked -p isolab-tests --test parity

.PHONY: lint
lint: web ## Formatting, lints, types: nothing is run
	scripts/lint

.PHONY: bench
bench: setup-bench build images ## Start-up and echo times on this machine
	"$(PROGRAMS)/isolab" bench start
	"$(PROGRAMS)/isolab" bench echo

.PHONY: bench-vm
bench-vm: vm ## Labs in virtual machines: how soon they are there, what they cost, a hundred side by side
	"$(PROGRAMS)/isolab" bench vm

.PHONY: fuzz
fuzz: ## Fuzz what reads hostile input, ten minutes each (SECONDS=60: less)
	scripts/fuzz $(or $(SECONDS),600)

.PHONY: doctor
doctor: build ## What this machine can do, and how to mend what it cannot
	@"$(PROGRAMS)/isolab" doctor

.PHONY: clean
clean: ## Remove what was built here (labs' images and learners' progress stay)
	rm -rf web/dist web/node_modules tests/browser/node_modules
	cargo clean
