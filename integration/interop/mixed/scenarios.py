"""The scenarios. One run of a fleet may answer several of them."""

import collections
import dataclasses
import time
import traceback

import work
from failed import Failed
from fleet import Fleet
from leases import short
from records import RATE
from workers import FAILOVER

SHARDS = 8
# So far a worker's number of leases may be from the average. KCL 3.x balances by throughput and not by number.
UNEVEN = 1
# With 3.x the leader has to see a worker's metrics before it gives it anything, and those are published every 30 s.
FAIR_WITHIN = {"kcl2": 60, "kcl3": 120}
# Longer than any of them waits from one look at the others to the next.
STILL_FOR = 35
# How long a worker may take beyond the failover time until it has all leases of one that was killed. Java KCL 2.x looks
# for leases every two failover times, and may need three looks: while a lease still seems alive it takes no more than its
# share of the others, and what stood still for three failover times is then taken alone. 3.x is told to assign leases
# every 2 s, and to discover them in half of that.
TAKEN_AFTER = {"rust": 5, "kcl2": 3 * 2 * FAILOVER + 3, "kcl3": 8}
# What a worker handled since its last checkpoint is handled again where a lease is taken and not passed on: Rust
# checkpoints with its renewals, and Java after each batch.
REPLAYED_AT_MOST = 5.0


@dataclasses.dataclass
class Result:
    word: str
    detail: str


class Tell:
    """Collects what a run found out about its scenarios."""

    def __init__(self, names):
        self.names = names
        self.results = {}

    def check(self, name, action):
        try:
            self.results[name] = Result("ok", action())
        except Failed as failed:
            self.results[name] = Result("FAIL", str(failed))

    def end(self, troubles, notes, failure):
        """Every scenario of the run has a result, and none is well when the run is not."""
        for name in self.names:
            result = self.results.setdefault(name, Result("FAIL", f"not reached: {failure or 'an earlier step failed'}"))
            if troubles:
                self.results[name] = Result("FAIL", "; ".join(troubles + [result.detail if result.word == "FAIL" else f"otherwise ok: {result.detail}"]))
            if notes:
                self.results[name].detail += f" (note: {'; '.join(notes)})"
        return self.results


def shared(fleet, workers, since):
    """Waits until each worker has a fair share, and then until nothing has moved for a while. Returns what it saw, in words."""

    def unfair():
        shares = fleet.watch.shares()
        average = len(fleet.watch.open_rows()) / len(workers)
        fair = all(abs(shares[worker.name] - average) <= UNEVEN for worker in workers) and not any(row.giver for row in fleet.watch.open_rows())
        return None if fair else fleet.watch.told_shares()

    def moving():
        still = time.monotonic() - fleet.watch.changed
        return unfair() or (f"{still:.0f} s after the last move; {fleet.watch.told_shares()}" if still < STILL_FOR else None)

    after = fleet.until("each has a fair share", FAIR_WITHIN[fleet.kcl], unfair)
    fleet.until(f"the leases stay where they are for {STILL_FOR} s", 2 * STILL_FOR, moving)
    back = fleet.watch.went_back(since)
    if back:
        raise Failed(f"leases went to and fro: {', '.join(back)}; {fleet.watch.told_shares()}")
    return f"{fleet.watch.told_shares()} after {after:.1f} s, then still for {STILL_FOR} s"


def joined(fleet, tell, balance, handoff, first, second):
    """One worker holds all leases; another joins, and gets its share."""
    holder = first()
    fleet.all_held_by(holder, 60)
    # A shard of which nothing was handled could be handed off in any way without a record handled again.
    flow(fleet, holder.name)
    joining = time.monotonic()
    newcomer = second()

    def passed():
        fleet.everything_handled()
        moves = [move for move in fleet.watch.moves if move.giver == holder.name and move.taker == newcomer.name]
        if not moves:
            raise Failed(f"no lease went from {holder.name} to {newcomer.name}; {fleet.watch.told_shares()}")
        again = sum(fleet.handled.again().values())
        # Rust may be done with one between two looks at the table. Its log tells.
        told_by_holder = holder.handed_off_to(newcomer.name)
        how_of = {move: "passed on" if move.lease in told_by_holder else move.how for move in moves}
        hows = ", ".join(f"{count} {how}" for how, count in collections.Counter(how_of.values()).items())
        told = f"{len(moves)} leases ({hows}), {again} records handled again"
        if fleet.kcl == "kcl3":
            unasked = [move for move in moves if how_of[move] != "passed on"]
            if unasked or again:
                raise Failed(f"{told}; expected all passed on with checkpointOwner and none handled again")
        elif again > REPLAYED_AT_MOST * RATE * len(moves) / SHARDS:
            raise Failed(f"{told}; that is more than {REPLAYED_AT_MOST:.0f} s of what these shards got")
        return told

    tell.check(balance, lambda: shared(fleet, (holder, newcomer), joining))
    tell.check(handoff, passed)


def java_first(fleet, tell):
    joined(fleet, tell, "balance-java-first", "handoff-java-to-rust", lambda: fleet.java("java-a"), lambda: fleet.rust("rust-b"))


def rust_first(fleet, tell):
    joined(fleet, tell, "balance-rust-first", "handoff-rust-to-java", lambda: fleet.rust("rust-a"), lambda: fleet.java("java-b"))


def four(fleet, tell):
    """Two workers of each language, one after the other."""

    def share():
        java = fleet.java("java-a")
        fleet.all_held_by(java, 60)
        flow(fleet, java.name)
        joining = time.monotonic()
        workers = (java, fleet.rust("rust-b"), fleet.java("java-c"), fleet.rust("rust-d"))
        return shared(fleet, workers, joining)

    tell.check("balance-four", share)


def takeover(fleet, tell):
    """Workers are killed, in both languages; the other one has all leases soon after."""
    rust = fleet.rust("rust-a")
    fleet.all_held_by(rust, 30)
    flow(fleet, rust.name)
    java = fleet.java("java-b")
    if fleet.kcl == "kcl3":
        fleet.until("java-b leads", 30, lambda: None if leader(fleet) == java.name else f"the leader is {leader(fleet)}")

    def killed(victim, heir, kind):
        def do():
            had = fleet.watch.shares()[victim.name]
            if not had:
                raise Failed(f"{victim.name} has no lease to lose: {fleet.watch.told_shares()}")
            victim.kill()
            at = time.time()
            limit = FAILOVER + TAKEN_AFTER[kind]
            seconds = fleet.all_held_by(heir, limit)
            flow(fleet, heir.name)
            return (
                f"{heir.name} has the {had} leases of {victim.name} after {seconds:.1f} s (of {limit} s), and reads all shards after "
                f"{time.time() - at:.1f} s; {fleet.handled.again(at)[heir.name]} records handled again"
            )

        return do

    tell.check("takeover-rust-killed", killed(rust, java, fleet.kcl))
    rust = fleet.rust("rust-c")
    tell.check("takeover-java-killed", killed(java, rust, "rust"))


def rolling(fleet, tell):
    """Java stops, Rust goes on, stops, and Java goes on."""

    def roll():
        java = fleet.java("java-a")
        fleet.all_held_by(java, 60)
        flow(fleet, java.name)
        java_stopped = stop(java)
        rust = fleet.rust("rust-b")
        fleet.all_held_by(rust, 2 * FAILOVER + 5)
        to_rust = time.monotonic() - java_stopped
        flow(fleet, rust.name)
        rust_stopped = stop(rust)
        owned = [str(row) for row in fleet.rows_now() if row.owner]
        java = fleet.java("java-c")
        fleet.all_held_by(java, 60)
        to_java = time.monotonic() - rust_stopped
        flow(fleet, java.name)
        fleet.everything_handled()
        again = fleet.handled.again()
        told = (
            f"Rust has all leases {to_rust:.1f} s after Java's SIGTERM, {again['rust-b']} records handled again; "
            f"Java {to_java:.1f} s after Rust's, {again['java-c']} records handled again"
        )
        if owned:
            raise Failed(f"{told}; rust-b stopped and kept {', '.join(owned)}")
        if again["java-c"] or again["java-a"] or again["rust-b"] > RATE:
            raise Failed(f"{told}; expected none after a stop of Rust, and less than {RATE:.0f} after one of Java")
        return told

    tell.check("rolling", roll)


def stop(worker):
    """Stops it, and returns when it was asked to: from then on others may want to know who goes on."""
    asked = time.monotonic()
    worker.stop()
    return asked


def rolling_overlap(fleet, tell):
    """The same, but each worker is stopped when its successor has started, as most deployments do."""

    def roll():
        java = fleet.java("java-a")
        fleet.all_held_by(java, 60)
        flow(fleet, java.name)
        rust = fleet.rust("rust-b")
        java_stopped = stop(java)
        fleet.all_held_by(rust, 2 * FAILOVER + 5)
        to_rust = time.monotonic() - java_stopped
        flow(fleet, rust.name)
        java = fleet.java("java-c")
        rust_stopped = stop(rust)
        fleet.all_held_by(java, 60)
        to_java = time.monotonic() - rust_stopped
        flow(fleet, java.name)
        fleet.everything_handled()
        again = fleet.handled.again()
        told = (
            f"Rust has all leases {to_rust:.1f} s after Java's SIGTERM, {again['rust-b']} records handled again; "
            f"Java {to_java:.1f} s after Rust's, {again['java-c']} records handled again"
        )
        # A worker of Java 2.x that starts takes leases at once, and from a worker that handles records.
        allowed = REPLAYED_AT_MOST * RATE if fleet.kcl == "kcl2" else 0
        if again["java-c"] > allowed or again["java-a"] or again["rust-b"] > RATE:
            raise Failed(f"{told}; expected at most {allowed:.0f} after a stop of Rust, and less than {RATE:.0f} after one of Java")
        return told

    tell.check("rolling-overlap", roll)


def flow(fleet, name, shards=None):
    """Waits until a worker has handled records of these shards, or of all, that were put from now on."""
    start = len(fleet.producer.sent)

    def missing():
        fleet.read_all()
        fresh = set(fleet.producer.sent[start:])
        read = {handling.shard for handling in fleet.handled.all() if handling.worker == name and handling.id in fresh}
        lack = (shards or {row.lease for row in fleet.watch.open_rows()}) - read
        return f"nothing new of {', '.join(sorted(short(lease) for lease in lack))}" if lack else None

    fleet.until(f"{name} reads its shards", 30, missing)


def reshard(fleet, tell):
    """Shards are split and merged while both languages read; among them two neighbours that different workers read."""

    def change():
        # Java may have half of the leases, so that both read whoever balances how.
        fleet.java("java-a", max_leases=fleet.shards // 2)
        fleet.until("java-a has its half", 60, lambda: None if len(fleet.watch.held("java-a")) == fleet.shards // 2 else fleet.watch.told_shares())
        fleet.rust("rust-b")

        def one_has_none():
            shares = fleet.watch.shares()
            return None if shares["java-a"] and shares["rust-b"] and not shares[None] else fleet.watch.told_shares()

        fleet.until("both have leases", 30, one_has_none)
        for name in ("java-a", "rust-b"):
            flow(fleet, name, {row.lease for row in fleet.watch.open_rows() if row.holder == name})
        shards = fleet.kinesis.list_shards(StreamName=fleet.name)["Shards"]
        shards.sort(key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))
        reader = {row.lease: row.holder for row in fleet.watch.open_rows()}
        low, high = next(
            (pair for pair in zip(shards, shards[1:]) if reader[pair[0]["ShardId"]] != reader[pair[1]["ShardId"]]), (None, None)
        )
        if not low:
            raise Failed(f"no neighbours are read by different workers: {reader}")
        rest = [shard for shard in shards if shard not in (low, high)]
        split = [next(shard for shard in rest if reader[shard["ShardId"]] == worker) for worker in ("java-a", "rust-b")]
        began = time.monotonic()
        for shard in split:
            start, end = (int(shard["HashKeyRange"][key]) for key in ("StartingHashKey", "EndingHashKey"))
            fleet.kinesis.split_shard(StreamName=fleet.name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str((start + end) // 2))
            fleet.stream_active()
        fleet.kinesis.merge_shards(StreamName=fleet.name, ShardToMerge=low["ShardId"], AdjacentShardToMerge=high["ShardId"])
        fleet.stream_active()
        parents = {shard["ShardId"] for shard in (*split, low, high)}
        children = {shard["ShardId"] for shard in fleet.kinesis.list_shards(StreamName=fleet.name)["Shards"]} - {s["ShardId"] for s in shards}

        def unfinished():
            rows = fleet.watch.rows()
            lack = [f"{short(parent)} is not at SHARD_END: {rows.get(parent)}" for parent in sorted(parents - fleet.watch.ended)]
            for child in sorted(children):
                row = rows.get(child)
                if not row or not row.holder or not row.checkpoint.isdigit():
                    lack.append(f"child {short(child)} is not read: {row}")
            return "; ".join(lack)

        seconds = fleet.until("parents ended and children read", 60, unfinished)
        fleet.everything_handled()
        wrong = fleet.handled.lineage(fleet.watch.parents)
        if wrong:
            raise Failed(wrong)
        by = collections.Counter(reader[parent] for parent in parents)
        return (
            f"2 splits and 1 merge, of shards that {' and '.join(f'{worker} ({count})' for worker, count in sorted(by.items()))} read, "
            f"done {time.monotonic() - began:.1f} s after the first, all {len(children)} children read after {seconds:.1f} s; {fleet.watch.told_shares()}"
        )

    tell.check("reshard", change)


def leader(fleet):
    """Who holds the leader's lock of KCL 3.x."""
    try:
        item = fleet.dynamodb.get_item(TableName=f"{fleet.name}-CoordinatorState", Key={"key": {"S": "Leader"}}, ConsistentRead=True).get("Item")
    except fleet.dynamodb.exceptions.ResourceNotFoundException:
        return None
    return item["ownerName"]["S"] if item else None


# The longest first, so that they run beside the others.
RUNS = (
    (java_first, ("balance-java-first", "handoff-java-to-rust"), SHARDS),
    (rust_first, ("balance-rust-first", "handoff-rust-to-java"), SHARDS),
    (takeover, ("takeover-rust-killed", "takeover-java-killed"), SHARDS),
    (four, ("balance-four",), SHARDS),
    (rolling, ("rolling",), SHARDS),
    (rolling_overlap, ("rolling-overlap",), SHARDS),
    (reshard, ("reshard",), 6),
)
NAMES = tuple(sorted(name for _, names, _ in RUNS for name in names))
KCLS = {"kcl3": "Java KCL 3.1.3", "kcl2": "Java KCL 2.5.8"}


def run(kcl, scenario, names, shards, served, kclctl, logs):
    """One fleet from its first worker to its last. Returns the results by scenario."""
    tell = Tell(names)
    failure, troubles, notes = None, [], []
    with Fleet(kcl, scenario.__name__.replace("_", "-"), served, kclctl, logs, shards) as fleet:
        try:
            try:
                scenario(fleet, tell)
            except Failed as failed:
                failure = str(failed)
            troubles, notes = fleet.still_true()
        except Exception as error:  # noqa: BLE001 - the other fleets go on
            if not work.ending:
                traceback.print_exc()
            troubles = [f"the scenario broke: {error!r}"]
    return tell.end(troubles, notes, failure)
