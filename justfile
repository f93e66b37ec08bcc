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

# A function as for Lambda on a week of flights: filter, poison, dead letter, redrive.
lambda:
    cargo run --package examples --bin lambda

# Simulated fleets: the seeds that ever failed, then fixed ones; and the same history in debug and in release.
sim:
    scripts/sim

# Simulated fleets for so many seconds on all cores.
sim-long SECONDS="600":
    cargo run --profile sim --package fleet-sim -- --from 1000000 --seconds {{SECONDS}} --threads "$(nproc)"

# Throughput and CPU of the worker beside a bare GetRecords loop, on one broker.
bench *ARGS:
    cargo run --release --package integration --bin bench -- {{ARGS}}

# This project's broker beside ferrokinesis and kinesis-mock, which are installed first.
bench-brokers *ARGS:
    scripts/bench-brokers {{ARGS}}

# Real clients against the broker: boto3, aws-cli, the JavaScript, Rust and Java SDKs, and the Java KCL.
interop *ARGS:
    integration/interop/run {{ARGS}}

# Workers of Java KCL and of this project on one lease table: they share, take over, hand off and reshard.
interop-fleet *ARGS:
    integration/interop/fleet {{ARGS}}

# Unmodified Lambda functions (Python with Powertools, Node, Rust) in processes, over the Runtime API.
interop-lambda *ARGS:
    integration/interop/lambda/run {{ARGS}}

# Aggregated records to and from AWS's own library.
interop-aggregates *ARGS:
    integration/interop/aggregates {{ARGS}}

# Coverage-guided fuzzing of the wire formats, so many seconds each.
fuzz SECONDS="600":
    scripts/fuzz {{SECONDS}}

# Licences, bans, advisories and sources of the dependencies (needs cargo-deny).
deny:
    cargo deny check

# The API documentation, in the browser.
docs:
    cargo doc --workspace --no-deps --open
