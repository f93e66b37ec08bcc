"""aws-cli against the broker: the commands that a person types, with their waiters and pagers."""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from telling import Telling, equal, true  # noqa: E402

# Beside the Python that runs this: the one of the virtual environment.
AWS = os.path.join(os.path.dirname(sys.executable), "aws")
NAME = f"awscli-{os.getpid()}"


class Refused(Exception):
    pass


def aws(*words):
    """Runs one command, and returns what it printed as JSON."""
    done = subprocess.run([AWS, *words, "--output", "json"], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise Refused(done.stderr.strip())
    return json.loads(done.stdout) if done.stdout.strip() else {}


def kinesis(*words):
    return aws("kinesis", *words)


def fails(code, *words):
    try:
        aws(*words)
    except Refused as refused:
        true(code in str(refused), f"{' '.join(words[:2])}: expected {code}, got {refused}")
        return
    raise AssertionError(f"{' '.join(words[:2])} succeeded, and should have failed with {code}")


def new_stream(suffix, shards):
    name = f"{NAME}-{suffix}"
    kinesis("create-stream", "--stream-name", name, "--shard-count", str(shards))
    kinesis("wait", "stream-exists", "--stream-name", name)
    return name


def wait_active(name):
    for _ in range(30):
        if kinesis("describe-stream-summary", "--stream-name", name)["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE":
            return
        time.sleep(0.1)
    raise AssertionError(f"{name} does not become ACTIVE")


def drain(name, shard):
    """Reads a shard to its tip, or to its end: the data, and the children if it ended."""
    iterator = kinesis("get-shard-iterator", "--stream-name", name, "--shard-id", shard, "--shard-iterator-type", "TRIM_HORIZON")["ShardIterator"]
    data = []
    for _ in range(20):
        answer = kinesis("get-records", "--shard-iterator", iterator)
        data += [base64.b64decode(record["Data"]).decode() for record in answer["Records"]]
        iterator = answer.get("NextShardIterator")
        if not iterator or (not answer["Records"] and answer["MillisBehindLatest"] == 0):
            return data, answer.get("ChildShards")
    raise AssertionError(f"{shard} has no end")


def streams():
    name = new_stream("streams", 2)
    equal(len(kinesis("describe-stream", "--stream-name", name)["StreamDescription"]["Shards"]), 2, "shards")
    true(name in kinesis("list-streams", "--page-size", "1")["StreamNames"], f"{name} is not listed")
    kinesis("increase-stream-retention-period", "--stream-name", name, "--retention-period-hours", "48")
    equal(kinesis("describe-stream-summary", "--stream-name", name)["StreamDescriptionSummary"]["RetentionPeriodHours"], 48, "retention")
    kinesis("add-tags-to-stream", "--stream-name", name, "--tags", "team=interop,kind=test")
    equal(len(kinesis("list-tags-for-stream", "--stream-name", name)["Tags"]), 2, "tags")
    kinesis("delete-stream", "--stream-name", name)
    kinesis("wait", "stream-not-exists", "--stream-name", name)


def put():
    name = new_stream("put", 1)
    first = kinesis("put-record", "--stream-name", name, "--partition-key", "k", "--data", "one")
    equal(first["ShardId"], "shardId-000000000000", "shard")
    records = [{"Data": f"r{i}", "PartitionKey": f"k{i}"} for i in range(5)]
    equal(kinesis("put-records", "--stream-name", name, "--records", json.dumps(records))["FailedRecordCount"], 0, "failed records")


def poll():
    data, children = drain(f"{NAME}-put", "shardId-000000000000")
    equal(data, ["one"] + [f"r{i}" for i in range(5)], "records")
    equal(children or [], [], "children")


def reshard():
    name = new_stream("reshard", 1)
    kinesis("put-record", "--stream-name", name, "--partition-key", "k", "--data", "old")
    kinesis("split-shard", "--stream-name", name, "--shard-to-split", "shardId-000000000000", "--new-starting-hash-key", str(2**127))
    wait_active(name)
    data, children = drain(name, "shardId-000000000000")
    equal((data, len(children or [])), (["old"], 2), "records and children of the parent")
    low, high = (child["ShardId"] for child in sorted(children, key=lambda child: int(child["HashKeyRange"]["StartingHashKey"])))
    kinesis("merge-shards", "--stream-name", name, "--shard-to-merge", low, "--adjacent-shard-to-merge", high)
    wait_active(name)
    equal(len(kinesis("list-shards", "--stream-name", name)["Shards"]), 4, "shards")
    kinesis("update-shard-count", "--stream-name", name, "--target-shard-count", "2", "--scaling-type", "UNIFORM_SCALING")
    wait_active(name)
    equal(len(kinesis("list-shards", "--stream-name", name, "--shard-filter", "Type=AT_LATEST")["Shards"]), 2, "open shards")


def consumers():
    name = new_stream("consumers", 1)
    arn = kinesis("describe-stream-summary", "--stream-name", name)["StreamDescriptionSummary"]["StreamARN"]
    consumer = kinesis("register-stream-consumer", "--stream-arn", arn, "--consumer-name", "reader")["Consumer"]
    found = kinesis("describe-stream-consumer", "--consumer-arn", consumer["ConsumerARN"])["ConsumerDescription"]
    equal(found["StreamARN"], arn, "the consumer's stream")
    equal(len(kinesis("list-stream-consumers", "--stream-arn", arn)["Consumers"]), 1, "consumers")
    kinesis("deregister-stream-consumer", "--stream-arn", arn, "--consumer-name", "reader")


def tables():
    table = f"{NAME}-leases"
    aws(
        "dynamodb", "create-table", "--table-name", table, "--billing-mode", "PAY_PER_REQUEST",
        "--key-schema", "AttributeName=leaseKey,KeyType=HASH", "--attribute-definitions", "AttributeName=leaseKey,AttributeType=S",
    )  # fmt: skip
    aws("dynamodb", "wait", "table-exists", "--table-name", table)
    item = json.dumps({"leaseKey": {"S": "shardId-0"}, "leaseCounter": {"N": "1"}})
    put = ("dynamodb", "put-item", "--table-name", table, "--item", item, "--condition-expression", "attribute_not_exists(leaseKey)")
    aws(*put)
    fails("ConditionalCheckFailedException", *put)
    equal(aws("dynamodb", "scan", "--table-name", table)["Count"], 1, "items")
    true(table in aws("dynamodb", "list-tables")["TableNames"], f"{table} is not listed")
    aws("dynamodb", "delete-table", "--table-name", table)
    aws("dynamodb", "wait", "table-not-exists", "--table-name", table)


def metrics():
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([{"MetricName": "Lag", "Value": 5, "Unit": "Milliseconds"}], file)
        file.flush()
        aws("cloudwatch", "put-metric-data", "--namespace", "interop", "--metric-data", f"file://{file.name}")


def errors():
    fails("ResourceNotFoundException", "kinesis", "describe-stream", "--stream-name", f"{NAME}-nowhere")
    fails("InvalidArgumentException", "kinesis", "get-records", "--shard-iterator", "nonsense")


telling = Telling()
for scenario in (streams, put, poll, reshard, consumers, tables, metrics, errors):
    telling.check(scenario.__name__, scenario)
telling.skip("fanout", "aws-cli has no subscribe-to-shard")
telling.end()
