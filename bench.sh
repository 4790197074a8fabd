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
  scripts/install.sh bench-http >&2
  echo "building Parapet as it is shipped, and a plain proxy (half an hour the first time)" >&2
  scripts/dist.sh
  cargo build --locked --profile dist -p parapet-gateway --example forward >&2
  exec python3 bench/http.py "$@"
fi

if [ "${1-}" = audit ]; then
  shift
  scripts/install.sh build postgres bench >&2
  echo "building two Parapets and the relay, by the same means (half an hour the first time)" >&2
  dist="${CARGO_TARGET_DIR:-target}/dist"
  PARAPET_BENCH=unaudited cargo build --locked --profile dist -p parapet --features unaudited >&2
  mv "${dist}/parapet" "${dist}/parapet-unaudited"
  cargo build --locked --profile dist -p parapet -p parapet-gateway --bin parapet --example relay >&2
  python3 bench/run.py --audit "$@"
  exec cargo bench --locked --profile dist -p parapet-store --bench append
fi
scripts/install.sh bench >&2
echo "building Parapet as it is shipped, and the relay (half an hour the first time)" >&2
scripts/dist.sh
cargo build --locked --profile dist -p parapet-gateway --example relay >&2
exec python3 bench/run.py "$@"
