#!/usr/bin/env bash
# Runs the checks and tests, and closes with `N passed, N failed`.
#
#   ./test.sh                 everything
#   ./test.sh GROUP…          some of it
#
# Groups: fmt, clippy, deny   style and supply chain
#         unit, proofs, tidy  without servers; proofs are the programs that must not compile
#         policy              the shipped policy packs' own tests
#         postgres, identity, audit, life, parity, cli, commands, docs      real servers, stock clients
#         http                HTTP APIs: real servers and clients, raw bytes against a tripwire, masks, a secret store
#         pdp                 the decision point, asked by AuthZEN's scenario, nginx and Envoy
#         hazards             attacks and their harmless twins, on two majors of PostgreSQL, a line for each hazard
#
# All groups run, whatever fails. What is missing on the machine is installed first (scripts/install.sh says what and why).
# On two cores a cold run takes some twenty-five to forty minutes, more than half of it compiling.
set -uo pipefail
cd "$(dirname "$0")"

ALL=(fmt deny clippy unit proofs tidy policy postgres identity audit life parity cli commands docs http pdp hazards)
groups=("$@")
[ ${#groups[@]} -eq 0 ] && groups=("${ALL[@]}")
for group in "${groups[@]}"; do
  if [[ " ${ALL[*]} " != *" $group "* ]]; then
    echo "error: no group \`$group\`; there are: ${ALL[*]}" >&2
    exit 2
  fi
done

if [ "${CI:-}" = true ]; then
  export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=none
fi

servers=()
majors=()
issuers=()
strangers=()
web=()
for group in "${groups[@]}"; do
  case $group in
    identity) servers=(postgres drivers) majors=(postgres18) issuers=(identity) ;;
    audit) servers=(postgres drivers) strangers=(go chromium) ;;
    postgres | life | parity | cli | commands | docs) servers=(postgres drivers curl) ;;
    http | pdp) web=(http) ;;
    hazards) servers+=(postgres) majors=(postgres18) ;;
  esac
done
scripts/install.sh build ${servers[@]+"${servers[@]}"} ${majors[@]+"${majors[@]}"} ${issuers[@]+"${issuers[@]}"} \
  ${strangers[@]+"${strangers[@]}"} ${web[@]+"${web[@]}"} || exit 1

mkdir -p target
log=$(mktemp target/test-log.XXXXXX)
trap 'rm -f "$log"' EXIT
passed=0
failed=0
broken=()

# step NAME COMMAND… : runs it, shows its output, adds up the tests that it reports
step() {
  local name=$1 ok bad
  shift
  printf '\n== %s: %s\n' "$name" "$*"
  "$@" 2>&1 | tee "$log"
  local status=${PIPESTATUS[0]}
  read -r ok bad < <(awk '
    /^test result: / { for (i = 1; i <= NF; i++) { if ($i ~ /^passed/) p += $(i-1); if ($i ~ /^failed/) f += $(i-1) } }
    /^[0-9]+ passed, [0-9]+ failed/ { p += $1; f += $3 }
    END { print p + 0, f + 0 }' "$log")
  passed=$((passed + ok))
  failed=$((failed + bad))
  if [ "$status" -ne 0 ]; then
    broken+=("$name")
    # A step that failed without a failed test (it did not compile, or is no test) counts as one failure.
    [ "$bad" -eq 0 ] && failed=$((failed + 1))
  fi
}

it() { step "$1" cargo test --locked -p parapet --test it "$1::"; }

deny() {
  local tool=cargo-deny
  if ! command -v cargo-deny >/dev/null; then
    tool=target/tools/bin/cargo-deny
    if [ ! -x "$tool" ] && [ "${CI:-}" = true ]; then
      echo "installing cargo-deny into target/tools (about five minutes): checks licences, sources and banned crates"
      cargo install --quiet --locked --root target/tools cargo-deny@0.20.2 || return 1
    fi
    if [ ! -x "$tool" ]; then
      echo "SKIPPED: cargo-deny is not installed; cargo install --locked --root target/tools cargo-deny"
      return 0
    fi
  fi
  # Advisories need a repository that is not reachable everywhere: `cargo deny check advisories` is for CONTRIBUTING.md.
  "$tool" --locked check --hide-inclusion-graph bans licenses sources
}

for group in "${groups[@]}"; do
  case $group in
    fmt) step fmt cargo fmt --all --check ;;
    deny) step deny deny ;;
    clippy) step clippy cargo clippy --locked --workspace --all-targets --quiet -- -D warnings ;;
    unit) step unit cargo test --locked --workspace --lib --bins ;;
    proofs) step proofs cargo test --locked -p parapet-kernel --test proofs ;;
    policy)
      for pack in policies/*/; do
        step "policy ${pack}" cargo run --locked --quiet -p parapet -- policy test "$pack"
      done
      ;;
    # The report, a line for each hazard, is what these tests are read for.
    hazards) step hazards cargo test --locked -p parapet --test it hazards:: -- --nocapture ;;
    *) it "$group" ;;
  esac
done

echo
[ ${#broken[@]} -gt 0 ] && echo "failed: ${broken[*]}"
if [ "$passed" -eq 0 ] && [ "$failed" -eq 0 ] && [[ " ${groups[*]} " =~ \ (unit|proofs|tidy|policy|postgres|identity|audit|life|parity|cli|commands|docs|http|pdp|hazards)\  ]]; then
  echo "no test ran"
  failed=1
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
