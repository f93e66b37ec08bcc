"""Looks at the lease table all the time, and keeps what changed hands."""

import collections
import threading
import time

from botocore.exceptions import ClientError

# A worker of Java takes some renewals to pass a lease on, which is many looks; one of Rust may be done between two.
LOOK_EVERY = 0.1
SENTINELS = {"AT_TIMESTAMP": -3, "TRIM_HORIZON": -2, "LATEST": -1, "SHARD_END": float("inf")}

Move = collections.namedtuple("Move", "at lease giver taker how")


class Row:
    def __init__(self, item, kcl):
        self.lease = item["leaseKey"]["S"]
        self.owner = item.get("leaseOwner", {}).get("S")
        self.written_giver = item.get("checkpointOwner", {}).get("S")
        # KCL 2.x knows no hand-offs. It takes a lease that another worker has asked for, and leaves the attribute as it is.
        self.giver = None if kcl == "kcl2" and (self.owner or "").startswith("java-") else self.written_giver
        self.counter = int(item.get("leaseCounter", {}).get("N", -1))
        self.checkpoint = item.get("checkpoint", {}).get("S")
        self.parents = sorted(item.get("parentShardId", {}).get("SS", []))

    @property
    def ended(self):
        return self.checkpoint == "SHARD_END"

    @property
    def holder(self):
        """Who reads the shard: during a hand-off still the one who gives it away."""
        return self.giver or self.owner

    def place(self):
        return SENTINELS[self.checkpoint] if self.checkpoint in SENTINELS else int(self.checkpoint or -4)

    def __str__(self):
        passing = f" checkpointOwner={self.written_giver}" if self.written_giver else ""
        return f"{short(self.lease)} leaseOwner={self.owner}{passing} leaseCounter={self.counter} checkpoint={self.checkpoint}"


def among_java(*workers):
    return all((worker or "java-").startswith("java-") for worker in workers)


def short(lease):
    return f"shard {int(lease.rsplit('-', 1)[1])}"


class Watch(threading.Thread):
    def __init__(self, dynamodb, table, kcl, path):
        super().__init__(name=f"{table}-watch", daemon=True)
        self.dynamodb = dynamodb
        self.table = table
        self.kcl = kcl
        self.began = time.monotonic()
        self.changed = self.began
        self.moves = []
        self.back = []
        self.ended = set()
        self.parents = {}
        self.trouble = None
        self._rows = {}
        self._file = open(path, "w", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._stop_asked = threading.Event()

    def run(self):
        try:
            while not self._stop_asked.is_set():
                self.look()
                self._stop_asked.wait(LOOK_EVERY)
        except Exception as trouble:  # noqa: BLE001 - told by whoever waits for the table
            self.trouble = trouble

    def end(self):
        self._stop_asked.set()
        self.join(timeout=30)
        self._file.close()

    def rows(self):
        with self._lock:
            return dict(self._rows)

    def look(self):
        # One look at a time: each is compared with the one before it.
        with self._looking:
            self._look()

    def _look(self):
        try:
            pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
            rows = {row.lease: row for row in (Row(item, self.kcl) for page in pages for item in page["Items"])}
        except ClientError as error:
            # The first worker creates it.
            if error.response["Error"]["Code"] == "ResourceNotFoundException" and not self._rows:
                return
            raise
        now = time.monotonic()
        with self._lock:
            for lease in rows.keys() | self._rows.keys():
                self.compare(now, self._rows.get(lease), rows.get(lease))
            self._rows = rows

    def compare(self, now, was, row):
        if row is None:
            self.tell(now, f"{short(was.lease)} deleted")
            return
        self.parents[row.lease] = row.parents
        if row.ended:
            self.ended.add(row.lease)
        if was is None or (was.owner, was.written_giver, was.ended) != (row.owner, row.written_giver, row.ended):
            self.tell(now, str(row))
            # Finished leases are nobody's work: whoever they are booked to, nothing moves. What workers of Java pass on among
            # themselves is their own affair: KCL 3.x never rests where its leases do not divide evenly.
            if not row.ended and not (was and among_java(was.owner, was.giver, row.owner, row.giver)):
                self.changed = now
        if was is None:
            return
        if row.place() < was.place():
            self.back.append(f"{was} became {row}")
        if was.holder != row.holder and not row.ended:
            how = "passed on" if was.giver and row.owner == was.owner else "free" if was.holder is None else "released" if row.holder is None else "taken"
            self.moves.append(Move(now, row.lease, was.holder, row.holder, how))

    def tell(self, now, text):
        self._file.write(f"{time.strftime('%H:%M:%S')} {now - self.began:8.2f} {text}\n")

    def open_rows(self):
        return [row for row in self.rows().values() if not row.ended]

    def held(self, worker):
        """The open leases of which the table says that this worker has them, all to itself."""
        return [row for row in self.open_rows() if row.owner == worker and not row.giver]

    def shares(self):
        return collections.Counter(row.holder for row in self.open_rows())

    def told_shares(self):
        """In words, who holds how many, and what is on its way."""
        shares = ", ".join(f"{worker or 'nobody'} {count}" for worker, count in sorted(self.shares().items(), key=str)) or "no leases"
        passing = [f"{short(row.lease)} {row.giver} -> {row.owner}" for row in sorted(self.open_rows(), key=lambda row: row.lease) if row.giver]
        return shares + (f"; asked for and not handed off: {', '.join(passing)}" if passing else "")

    def went_back(self, since):
        """Leases that a worker got again after it had given them away."""
        holders, found = {}, []
        for move in self.moves:
            if move.at < since or among_java(move.giver, move.taker):
                continue
            had = holders.setdefault(move.lease, [move.giver] if move.giver else [])
            if move.taker is None or (had and had[-1] == move.taker):
                continue
            if move.taker in had:
                found.append(f"{short(move.lease)} back to {move.taker} ({move.how})")
            had.append(move.taker)
        return found
