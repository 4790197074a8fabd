#!/usr/bin/env bash
# Builds Parapet as it is shipped: `target/dist/parapet`, optimized by a profile of its own work.
#
# Three steps: a build that counts what runs; a minute and a half of queries and requests through it (`bench/run.py --train`, `bench/http.py
# --train`); the build by these counts. Some twenty minutes on two processors. Where the counting build has not changed, its profile
# is used again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/install.sh dist >&2

host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-$PWD/target}
counting=$target/counting
tools=$(rustc --print sysroot)/lib/rustlib/$host/bin

echo "building Parapet with counters, into ${counting}" >&2
# Counters are set before anything is inlined across crates, so this build needs none of that. But a private function is known by
# its codegen unit, so there must be as many of these as in the last build.
CARGO_TARGET_DIR=$counting CARGO_PROFILE_DIST_LTO=off RUSTFLAGS="-Cprofile-generate=$counting/raw" \
  cargo build --locked --profile dist --target "$host" -p parapet --bin parapet >&2

# Another profile has another name, because Cargo looks at flags and not into the file.
profile=$counting/$(sha256sum "$counting/$host/dist/parapet" | cut -c1-16).profdata
if [ ! -e "$profile" ]; then
  echo "running queries and requests through it (a minute and a half)" >&2
  rm -rf "$counting/raw" "$counting"/*.profdata
  mkdir -p "$counting/dist"
  ln -sf "$counting/$host/dist/parapet" "$counting/dist/parapet"
  CARGO_TARGET_DIR=$counting python3 bench/run.py --train
  CARGO_TARGET_DIR=$counting python3 bench/http.py --train
  "$tools/llvm-profdata" merge --sparse -o "$profile.new" "$counting/raw"
  mv "$profile.new" "$profile"
  rm -rf "$counting/raw"
fi

echo "building Parapet by what was counted" >&2
RUSTFLAGS="-Cprofile-use=$profile" cargo build --locked --profile dist --target "$host" -p parapet --bin parapet >&2
mkdir -p "$target/dist"
cp "$target/$host/dist/parapet" "$target/dist/parapet.new"
mv "$target/dist/parapet.new" "$target/dist/parapet"
