# The entry points of the project. Every recipe is also one plain command, so that nothing needs `just`.

# What CI runs, whole.
ci:
    bash .ci/run

# Formatting, lints, docs and arrows.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features
    scripts/check-arrows

# All tests.
test:
    cargo test --workspace

# The quickstart: a fleet consumes a week of flights.
flights:
    cargo run --package examples --bin flights

# Throughput and CPU of the worker beside a bare GetRecords loop, on one broker.
bench *ARGS:
    cargo run --release --package integration --bin bench -- {{ARGS}}

# Licences, bans, advisories and sources of the dependencies (needs cargo-deny).
deny:
    cargo deny check

# The API documentation, in the browser.
docs:
    cargo doc --workspace --no-deps --open
