#!/usr/bin/env bash
# The test command: gets the real servers, checks form, runs every test: tests/run.sh [arguments of cargo test].
#
# Whatever happens, the servers that the tests started are stopped by their process ids before this ends.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source-path=SCRIPTDIR source=../deploy/stack/processes.sh
. deploy/stack/processes.sh

WARDLINE_RUN_DIR=$(mktemp -d)
export WARDLINE_RUN_DIR
step='' child=''

finish() {
    local status=$?
    trap '' INT TERM
    trap - EXIT
    if [ -n "$child" ]; then
        kill -TERM -- "-$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    stop_all_recorded "$WARDLINE_RUN_DIR/pids"
    rm -rf "$WARDLINE_RUN_DIR"
    if [ "$status" -eq 0 ]; then
        printf '\n== all passed in %d s\n' "$SECONDS"
    else
        printf '\n== FAILED: %s (status %d) after %d s\n' "$step" "$status" "$SECONDS"
    fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Each step is a process group of its own, which a signal to us ends at once instead of waiting for cargo.
set -m
run() { # HEADLINE COMMAND...
    local started=$SECONDS
    step=$1
    shift
    printf '\n== %s\n' "$step"
    "$@" </dev/null &
    child=$!
    wait "$child"
    child=''
    printf '== %s: %d s\n' "$step" $((SECONDS - started))
}

run 'servers' deploy/stack/get
run 'format' cargo fmt --all --check
run 'lints' cargo clippy --workspace --all-targets --locked -- -D warnings
run 'docs' env RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
# Some tests run the binaries of the other package, which cargo test alone does not build.
run 'binaries' cargo build --workspace --bins --locked
# All of them, also after one that fails: one run shows all that is wrong.
# A test that hangs must not hold up the machine that runs this: an hour is ten times what they take.
run 'tests' timeout --kill-after=30 60m env WARDLINE_TEST_SERVERS=1 cargo test --workspace --locked --no-fail-fast "$@"
