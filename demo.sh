#!/usr/bin/env bash
# Installs what is missing, builds Parapet, and starts its demo: a throw-away PostgreSQL and an HTTP API, guarded.
#
#   ./demo.sh            until Ctrl-C
#   ./demo.sh --tour     unattended: every scene, on PostgreSQL and on HTTP, then exit 0 if each ended as it should
#
# Builds in debug, because a release build takes three times as long and the demo is not about speed. Set
# DEMO_PROFILE=release to build that instead.
set -euo pipefail
cd "$(dirname "$0")"

scripts/install.sh build postgres curl
profile=${DEMO_PROFILE:-dev}
echo "building Parapet (the first time takes a few minutes, nearly all of it PostgreSQL's grammar and the cryptography)" >&2
cargo build --locked --profile "$profile" -p parapet
folder=$profile
[ "$profile" = dev ] && folder=debug
exec "${CARGO_TARGET_DIR:-target}/$folder/parapet" demo "$@"
