#!/usr/bin/env bash
# Measures Parapet against a direct connection, a plain TCP relay and PgBouncer, interleaved in one run.
#
#   ./bench.sh                    the whole matrix, about half an hour, as a table
#   ./bench.sh --quick            the same shape in a few minutes
#   ./bench.sh --json             JSON on stdout: {"results":[…]}; progress goes to stderr
#   ./bench.sh --only WORKLOAD    one workload: select, tpcb, scan, copy, churn, idle
#
# Everything is in a private folder and goes at the end. What is missing on the machine is installed first, and named.
set -euo pipefail
cd "$(dirname "$0")"

scripts/install.sh build postgres bench >&2
echo "building Parapet and the relay as they are shipped (ten minutes or more the first time)" >&2
cargo build --locked --profile dist -p parapet -p parapet-gateway --bin parapet --example relay >&2
exec python3 bench/run.py "$@"
