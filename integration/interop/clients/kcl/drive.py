"""The real Java KCL, under its MultiLangDaemon, consumes a stream that is split and merged before and while it reads.

    0 ──split── 2                 before the daemon starts: its records wait as backlog
            └── 3 ──merge── 6
    1 ──split── 4 ──┘             while the daemon reads
            └── 5

Every record has to be delivered, in the order of its shard, children after their parents; the lease table has to show
every parent at SHARD_END and a lease of this worker for every open shard.
"""

import argparse
import os
import signal
import subprocess
import sys
import time

import boto3
import botocore.config

import judge

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from telling import Telling, equal, true  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = {"first": 180, "end": 180}
CONFIG = botocore.config.Config(retries={"max_attempts": 2}, connect_timeout=5, read_timeout=20)
kinesis = boto3.client("kinesis", config=CONFIG)
dynamodb = boto3.client("dynamodb", config=CONFIG)


def properties(args, name):
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    old = "-2." in judge.version(args.jars)
    values = {
        "executableName": f"{sys.executable} {os.path.join(HERE, 'processor.py')}",
        "applicationName": name,
        "streamName": name,
        "workerId": f"{name}-worker",
        "initialPositionInStream": "TRIM_HORIZON",
        "regionName": "us-east-1",
        # The two lines of the KCL name their providers after two lines of the SDK.
        **({"AWSCredentialsProvider": "EnvironmentVariableCredentialsProvider"} if old else {"AwsCredentialsProvider": "DefaultCredentialsProvider"}),
        "kinesisEndpoint": endpoint,
        "dynamoDBEndpoint": endpoint,
        "cloudWatchClient.endpointOverride": endpoint,
        "retrievalMode": args.mode.upper(),
        # Everything that is a pause, short: the defaults take minutes to the first record.
        "failoverTimeMillis": 3000,
        "shardSyncIntervalMillis": 1000,
        "parentShardPollIntervalMillis": 1000,
        "taskBackoffTimeMillis": 500,
        "metricsBufferTimeMillis": 2000,
        "metricsLevel": "DETAILED",
        "shutdownGraceMillis": 10000,
    }
    if args.mode == "polling":
        values["idleTimeBetweenReadsInMillis"] = 250
    if not old:
        values.update(leaseAssignmentIntervalMillis=1000, workerMetricsReporterFreqInMillis=2000)
    path = os.path.join(args.logs, f"{name}.properties")
    with open(path, "w") as file:
        file.writelines(f"{key} = {value}\n" for key, value in values.items())
    return path


def start(args, name):
    command = [
        "java", "-Xms32m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        # The KCL asks the metadata services of EC2 and ECS where it runs. Nothing leaves loopback here.
        "-Dhttp.proxyHost=127.0.0.1", "-Dhttp.proxyPort=9", "-Dhttp.nonProxyHosts=localhost|127.*",
        "-cp", os.path.join(args.jars, "*"), "software.amazon.kinesis.multilang.MultiLangDaemon",
        "--properties-file", properties(args, name), "--log-configuration", os.path.join(HERE, "logback.xml"),
    ]  # fmt: skip
    environment = dict(os.environ, INTEROP_EVENTS=os.path.join(args.logs, f"{name}.events"))
    with open(os.path.join(args.logs, f"{name}.daemon.log"), "wb") as out:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)


class Producer:
    """Puts numbered records all over the hash range, and remembers them."""

    def __init__(self, name):
        self.name = name
        self.sent = []

    def put(self, count):
        texts = [f"r{len(self.sent) + i:04}" for i in range(count)]
        entries = [{"Data": text.encode(), "PartitionKey": text} for text in texts]
        equal(kinesis.put_records(StreamName=self.name, Records=entries)["FailedRecordCount"], 0, "failed records")
        self.sent += texts

    def active(self):
        for _ in range(200):
            if kinesis.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE":
                return
            time.sleep(0.1)
        raise AssertionError(f"{self.name} does not become ACTIVE")

    def split(self, number, at):
        kinesis.split_shard(StreamName=self.name, ShardToSplit=judge.shard_id(number), NewStartingHashKey=str(at))
        self.active()

    def merge(self, low, high):
        kinesis.merge_shards(StreamName=self.name, ShardToMerge=judge.shard_id(low), AdjacentShardToMerge=judge.shard_id(high))
        self.active()


def wait_for(what, patience, daemon, found):
    """Looks twice a second until it is so. `found` returns what is missing, or nothing."""
    deadline = time.monotonic() + patience
    while True:
        missing = found()
        if not missing:
            return
        if daemon.poll() is not None:
            raise AssertionError(f"the daemon ended with status {daemon.returncode} while waiting for {what}: {missing}")
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} within {patience} s: {missing}")
        time.sleep(0.5)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jars", required=True)
    parser.add_argument("--mode", choices=("polling", "fanout"), required=True)
    parser.add_argument("--logs", required=True)
    args = parser.parse_args()
    name = f"{os.path.basename(args.jars)}-{args.mode}-{os.getpid()}"
    events = os.path.join(args.logs, f"{name}.events")
    reading = "poll" if args.mode == "polling" else "fanout"
    telling = Telling()

    quarter = 2**126
    kinesis.create_stream(StreamName=name, ShardCount=2)
    producer = Producer(name)
    producer.active()
    producer.put(100)
    producer.split(0, quarter)
    producer.put(100)
    began = time.monotonic()
    daemon = start(args, name)

    def delivered():
        return judge.undelivered(events, producer.sent)

    def consume():
        wait_for("backlog delivered", PATIENCE["first"], daemon, delivered)
        backlog = time.monotonic() - began
        producer.put(100)
        wait_for("record put while reading", PATIENCE["end"], daemon, delivered)
        return f"backlog after {backlog:.0f} s"

    def follow():
        producer.put(50)
        producer.split(1, 3 * quarter)
        producer.put(50)
        producer.merge(3, 4)
        producer.put(100)
        wait_for("record put around the live split and merge", PATIENCE["end"], daemon, delivered)
        wait_for("SHARD_END of all parents", PATIENCE["end"], daemon, lambda: judge.unfinished(dynamodb, name, (0, 1, 3, 4)))
        judge.lineage(events, {2: (0,), 3: (0,), 4: (1,), 5: (1,), 6: (3, 4)})
        judge.retrieval(os.environ["AWS_ENDPOINT_URL"], name, 7, args.mode)
        return f"{len(producer.sent)} records through 7 shards, SHARD_END of all 4 parents after {time.monotonic() - began:.0f} s"

    def tables():
        wait_for("lease of every shard", 60, daemon, lambda: judge.lease_table(dynamodb, name, f"{name}-worker", (2, 5, 6), (0, 1, 3, 4)))
        return judge.other_tables(dynamodb, name, f"{name}-worker") if "kcl3" in args.jars else ""

    def consumers():
        arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
        equal([c["ConsumerName"] for c in kinesis.list_stream_consumers(StreamARN=arn)["Consumers"]], [name], "consumers that the KCL registered")

    def stop():
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(timeout=40)
        except subprocess.TimeoutExpired:
            daemon.kill()
            raise AssertionError("the daemon does not end within 40 s of SIGTERM") from None

    try:
        telling.check(reading, consume)
        telling.check("reshard", follow)
        telling.check("tables", tables)
        if args.mode == "fanout":
            telling.check("consumers", consumers)
        telling.check("metrics", lambda: judge.metrics(os.path.join(args.logs, f"{name}.daemon.log")))
    finally:
        try:
            stop()
        finally:
            daemon.kill()
    telling.end()


main()
