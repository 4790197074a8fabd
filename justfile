# The same steps as CI, one by one. `just` alone lists them.

default:
    @just --list

# Everything that a change must pass, cheapest first
check *groups:
    ./test.sh {{groups}}

# Formats what may be formatted
fmt:
    cargo fmt --all
    cargo run --quiet -p parapet -- policy fmt policies

# Style and supply chain
lint:
    ./test.sh fmt deny clippy

# Tests without servers
unit:
    ./test.sh unit proofs tidy policy

# Tests with a real PostgreSQL and stock clients
it *groups='postgres identity audit life parity cli commands docs http pdp hazards':
    ./test.sh {{groups}}

# The demo; `just demo --tour` runs it unattended
demo *args:
    ./demo.sh {{args}}

# Builds target/dist/parapet as it is shipped, by a profile of its own work
dist:
    scripts/dist.sh

# The benchmark against a relay and PgBouncer; `just bench --quick`
bench *args:
    ./bench.sh {{args}}

# Sixty seconds of each fuzz target
fuzz seconds='60':
    cd fuzz && for target in $(cargo fuzz list); do RUSTC_BOOTSTRAP=1 cargo fuzz run "$target" -- -max_total_time={{seconds}}; done
