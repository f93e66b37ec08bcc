"""Aggregates both ways: compare.py EXAMPLE [--golden DIRECTORY]."""

import base64
import os
import random
import subprocess
import sys

from aws_kinesis_agg.aggregator import RecordAggregator
from aws_kinesis_agg.deaggregator import deaggregate_records

COUNT = 2_000
HASH_KEY_MAX = str(2**128 - 1)
GOLDEN = {
    "keys": [
        ("taxi-7", None, b"left"),
        ("taxi-8", None, b"left"),
        ("taxi-7", None, b"arrived"),
        ("Zürich → \U0001f695", None, bytes(range(8))),
    ],
    "hash_keys": [("a", "0", b"x"), ("b", HASH_KEY_MAX, b"y"), ("a", None, b"z"), ("c", "0", b"w")],
    "empty_and_large": [
        ("k", None, b""),
        ("k" * 256, None, bytes(i % 251 for i in range(300))),
        ("k", None, b"\xf3\x89\x9a\xc2"),
    ]
    + [(f"key-{i}", None, b"d") for i in range(130)],
}


def aws_writes(records):
    aggregator = RecordAggregator()
    for key, hash_key, data in records:
        assert aggregator.add_user_record(key, data, hash_key) is None, "it is larger than one aggregate"
    return aggregator.clear_and_get().get_contents()[2]


def aws_reads(aggregate):
    outer = {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "sequenceNumber": "7",
            "partitionKey": "outer",
            "approximateArrivalTimestamp": 0,
            "data": base64.b64encode(aggregate),
        }
    }
    inside = [record["kinesis"] for record in deaggregate_records(outer)]
    hash_key = lambda record: record.get("explicitHashKey")  # noqa: E731
    return [(record["partitionKey"], hash_key(record), base64.b64decode(record["data"])) for record in inside]


def drawn(rng):
    keys = ["k", "taxi-7", "ü", "→" * 80, "x" * 256]
    for _ in range(rng.randint(2, 30)):
        hash_key = rng.choice([None, None, "0", HASH_KEY_MAX, str(rng.getrandbits(128))])
        yield (rng.choice(keys) + str(rng.randint(0, 3)), hash_key, rng.randbytes(rng.choice([0, 1, 50, 200, 20_000])))


def as_text(records):
    return " ".join(f"{key.encode().hex()}:{hash_key or '-'}:{data.hex()}" for key, hash_key, data in records)


def example(program, mode, lines):
    done = subprocess.run([program, mode], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def main():
    program, arguments = sys.argv[1], sys.argv[2:]
    if arguments[:1] == ["--golden"]:
        for name, records in GOLDEN.items():
            with open(os.path.join(arguments[1], f"{name}.txt"), "w") as file:
                file.write(aws_writes(records).hex() + "\n")
                for key, hash_key, data in records:
                    file.write(f"{key.encode().hex()} {hash_key or '-'} {data.hex()}\n")
        return
    rng = random.Random(7)
    sets = list(GOLDEN.values()) + [list(drawn(rng)) for _ in range(COUNT)]
    theirs = [aws_writes(records) for records in sets]
    ours = [bytes.fromhex(line) for line in example(program, "write", map(as_text, sets))]
    read = example(program, "read", [aggregate.hex() for aggregate in theirs])
    assert len(ours) == len(read) == len(sets)
    for records, by_aws, by_us, read_by_us in zip(sets, theirs, ours, read):
        assert read_by_us == as_text(records), "what AWS's library wrote was read otherwise"
        # The library takes the first hash key of the table for that of a record without one, in its own aggregates too.
        assert aws_reads(by_us) == aws_reads(by_aws), "what was written here was read otherwise by AWS's library"
        assert [(key, data) for key, _, data in aws_reads(by_us)] == [(key, data) for key, _, data in records]
    same = sum(by_aws == by_us for by_aws, by_us in zip(theirs, ours))
    print(f"aggregates: {len(sets)} read and written both ways, {same} of them the same to the byte")


main()
