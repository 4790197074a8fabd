#!/usr/bin/env bash
# Measures Parapet against a direct connection, a plain TCP relay and PgBouncer, interleaved in one run.
#
#   ./bench.sh                    the whole matrix, about twenty minutes, as a table
#   ./bench.sh --quick            the same shape in a few minutes
#   ./bench.sh --json             JSON on stdout: {"results":[…]}; progress goes to stderr
#   ./bench.sh --only WORKLOAD    one workload: select, tpcb, scan, copy, churn, idle
#   ./bench.sh audit [--quick]    what the audit log costs: on against off, `disk` against `process`, appends, a million entries verified,
#                                 bytes on the disk; builds a second binary, which enters nothing and is good for nothing else
#   ./bench.sh http [--quick] [--json]    HTTP instead: against a plain hyper proxy, nginx and Envoy, about fifteen minutes
#
# Everything is in a private folder and goes at the end. What is missing on the machine is installed first, and named.
set -euo pipefail
cd "$(dirname "$0")"

if [ "${1:-}" = http ]; then
  shift
  scripts/install.sh build bench-http >&2
  echo "building Parapet and a plain proxy as they are shipped (ten minutes or more the first time)" >&2
  cargo build --locked --profile dist -p parapet -p parapet-gateway --bin parapet --example forward >&2
  exec python3 bench/http.py "$@"
fi

scripts/install.sh build postgres bench >&2
echo "building Parapet and the relay as they are shipped (ten minutes or more the first time)" >&2
if [ "${1-}" = audit ]; then
  shift
  dist="${CARGO_TARGET_DIR:-target}/dist"
  PARAPET_BENCH=unaudited cargo build --locked --profile dist -p parapet --features unaudited >&2
  mv "${dist}/parapet" "${dist}/parapet-unaudited"
  cargo build --locked --profile dist -p parapet -p parapet-gateway --bin parapet --example relay >&2
  python3 bench/run.py --audit "$@"
  exec cargo bench --locked --profile dist -p parapet-store --bench append
fi
cargo build --locked --profile dist -p parapet -p parapet-gateway --bin parapet --example relay >&2
exec python3 bench/run.py "$@"
