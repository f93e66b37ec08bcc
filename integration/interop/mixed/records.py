"""What is put into the stream, and what the workers say they handled."""

import base64
import collections
import json
import os
import threading
import time

from failed import Failed

BATCH = 16
PAUSE = 0.4
RATE = BATCH / PAUSE
# Slots of the hash range that records go to in turn: all shards get the same, also after splits and merges, so that
# workers which balance by throughput have no reason to move anything.
SLOTS = 32
# Records are given some weight, since KCL 3.x looks at the throughput of leases.
PADDING = "." * 500

Handling = collections.namedtuple("Handling", "at worker shard id")


class Producer(threading.Thread):
    """Puts numbered records until it is told to stop, and remembers them."""

    def __init__(self, kinesis, stream):
        super().__init__(name=f"{stream}-producer", daemon=True)
        self.kinesis = kinesis
        self.stream = stream
        self.sent = []
        self.trouble = None
        self._stop_asked = threading.Event()

    def run(self):
        try:
            while not self._stop_asked.is_set():
                self.put()
                self._stop_asked.wait(PAUSE)
        except Exception as trouble:  # noqa: BLE001 - told by whoever waits for records
            self.trouble = trouble

    def put(self):
        start = len(self.sent)
        entries = [
            {"Data": f"r{n:06} {PADDING}".encode(), "PartitionKey": f"r{n:06}", "ExplicitHashKey": str((2 * (n % SLOTS) + 1) * 2**128 // (2 * SLOTS))}
            for n in range(start, start + BATCH)
        ]
        answer = self.kinesis.put_records(StreamName=self.stream, Records=entries)
        if answer["FailedRecordCount"]:
            raise Failed(f"{answer['FailedRecordCount']} records were refused: {answer['Records']}")
        self.sent += [entry["PartitionKey"] for entry in entries]

    def end(self):
        self._stop_asked.set()
        self.join(timeout=30)


class Handled:
    """Every time that a worker handled a record, in the order of time."""

    def __init__(self):
        self._lock = threading.Lock()
        self._all = []
        self._ids = set()

    def add(self, handling):
        with self._lock:
            self._all.append(handling)
            self._ids.add(handling.id)

    def all(self):
        with self._lock:
            return sorted(self._all)

    def ids(self):
        with self._lock:
            return set(self._ids)

    def again(self, since=0.0):
        """By worker, how often it handled a record that had been handled before."""
        seen, again = set(), collections.Counter()
        for handling in self.all():
            if handling.id in seen and handling.at >= since:
                again[handling.worker] += 1
            seen.add(handling.id)
        return again

    def lineage(self, parents_of):
        """A text if a child's record was handled before one of its parents' records."""
        first, last, seen = {}, {}, set()
        for handling in self.all():
            if handling.id not in seen:
                first.setdefault(handling.shard, handling)
                last[handling.shard] = handling
            seen.add(handling.id)
        for child, parents in parents_of.items():
            for parent in parents:
                if child in first and parent in last and first[child].at < last[parent].at:
                    return (
                        f"{first[child].worker} handled {first[child].id} of {child} "
                        f"{last[parent].at - first[child].at:.2f} s before {last[parent].worker} handled {last[parent].id} of its parent {parent}"
                    )
        return None


class JavaEvents:
    """What the processors of a Java worker wrote down, read as far as it goes."""

    def __init__(self, worker, path, handled):
        self.worker = worker
        self.path = path
        self.handled = handled
        self.refused = []
        self._place = 0
        self._lock = threading.Lock()

    def read(self):
        with self._lock:
            if not os.path.exists(self.path):
                return
            with open(self.path, "rb") as file:
                file.seek(self._place)
                text = file.read()
            # A last line may still be being written.
            whole = text[: text.rfind(b"\n") + 1]
            self._place += len(whole)
            for line in whole.splitlines():
                event = json.loads(line)
                if event["event"] == "record":
                    self.handled.add(Handling(event["at"], self.worker, event["shard"], base64.b64decode(event["data"]).decode().split()[0]))
                elif event["event"] == "checkpoint" and event["error"]:
                    self.refused.append((event["at"], event["shard"], event["error"]))


class RustLines(threading.Thread):
    """What `kclctl consume` writes, with the time at which it came."""

    def __init__(self, worker, pipe, path, handled):
        super().__init__(name=f"{worker}-lines", daemon=True)
        self.worker = worker
        self.pipe = pipe
        self.path = path
        self.handled = handled
        self.start()

    def run(self):
        with self.pipe, open(self.path, "w", encoding="utf-8") as copy:
            for line in self.pipe:
                at = time.time()
                # A worker that was killed may leave half a line. That record was not handled.
                if not line.endswith(b"\n"):
                    break
                record = json.loads(line)
                id = record["data"].split()[0]
                copy.write(f"{at:.3f} {record['shard_id']} {id} {record['sequence_number']}\n")
                self.handled.add(Handling(at, self.worker, record["shard_id"], id))
