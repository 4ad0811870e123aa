#!/usr/bin/env bash
# Measures wardline beside a bare subscriber and Telegraf on the real servers, and its parts by themselves:
#
#   tests/bench/run.sh [load|commits|backlog] [--rate N] [--seconds N] [--devices N] [--frozen N]
#   tests/bench/run.sh micro [arguments of cargo bench]
#
# Not part of the tests: figures are read by people. Whatever happens, the processes that it started are stopped by
# their process ids before this ends.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source-path=SCRIPTDIR source=../../deploy/stack/layout.sh
. deploy/stack/layout.sh
# shellcheck source-path=SCRIPTDIR source=../../deploy/stack/processes.sh
. deploy/stack/processes.sh

WARDLINE_RUN_DIR=$(mktemp -d)
export WARDLINE_RUN_DIR

finish() {
    local status=$?
    trap '' INT TERM
    trap - EXIT
    stop_all_recorded "$WARDLINE_RUN_DIR/pids"
    rm -rf "$WARDLINE_RUN_DIR"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ "${1-}" = micro ]; then
    shift
    for bench in decode enrich detect encode; do
        cargo bench --locked --bench "$bench" "$@"
    done
    exit
fi

deploy/stack/get mosquitto influxdb mongodb neo4j telegraf
cargo bench --locked --bench compare -- --telegraf "$(folder_of telegraf)/bin/telegraf" "$@"
