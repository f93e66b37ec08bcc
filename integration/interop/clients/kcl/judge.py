"""What is read out of the processors' events, the lease table and the daemon's log."""

import base64
import glob
import json
import os
import re
import urllib.parse
import urllib.request

from_base64 = base64.b64decode


def version(jars):
    """The file name of the library, such as `amazon-kinesis-client-3.1.3.jar`."""
    found = [os.path.basename(path) for path in glob.glob(os.path.join(jars, "amazon-kinesis-client-[0-9]*.jar"))]
    if not found:
        raise AssertionError(f"no KCL in {jars}")
    return found[0]


def shard_id(number):
    return f"shardId-{number:012}"


def read(events):
    """The events so far, without a last line that is still being written."""
    if not os.path.exists(events):
        return []
    with open(events, encoding="utf-8") as file:
        lines = file.read().split("\n")[:-1]
    return [json.loads(line) for line in lines]


def data(event):
    return from_base64(event["data"]).decode()


def undelivered(events, sent):
    got = {data(event) for event in read(events) if event["event"] == "record"}
    missing = [text for text in sent if text not in got]
    return f"{len(missing)} of {len(sent)} records missing, the first {missing[:3]}" if missing else None


def lineage(events, parents):
    """Order within shards, children after parents, and the right answers to the end of a shard."""
    seen = read(events)
    refused = [event for event in seen if event["event"] == "checkpoint" and event["error"]]
    if refused:
        raise AssertionError(f"checkpoints were refused: {refused[:3]}")
    lost = [event["shard"] for event in seen if event["event"] == "leaseLost"]
    if lost:
        raise AssertionError(f"leases were lost: {lost}")
    place = {}
    for index, event in enumerate(seen):
        place.setdefault((event["shard"], event["event"]), index)
    last_of = {}
    for index, event in enumerate(seen):
        if event["event"] != "record":
            continue
        number = int(event["sequence"])
        if number <= last_of.get(event["shard"], -1):
            raise AssertionError(f"{event['shard']} was delivered out of order or twice at {data(event)}")
        last_of[event["shard"]] = number
        ended = place.get((event["shard"], "shardEnded"))
        if ended is not None and index > ended:
            raise AssertionError(f"{event['shard']} had a record after its end")
        # The clock is this machine's: a time in other units would be decades off.
        if abs(event["arrival"] / 1000 - event["at"]) > 600:
            raise AssertionError(f"{event['shard']} had a record that arrived at {event['arrival']}")
    for child, its_parents in parents.items():
        first = place.get((shard_id(child), "initialize"))
        if first is None:
            raise AssertionError(f"shard {child} was never read")
        for parent in its_parents:
            ended = place.get((shard_id(parent), "shardEnded"))
            if ended is None or ended > first:
                raise AssertionError(f"shard {child} was read before its parent {parent} ended")


def leases(dynamodb, table):
    items = [item for page in dynamodb.get_paginator("scan").paginate(TableName=table) for item in page["Items"]]
    return {item["leaseKey"]["S"]: item for item in items}


def unfinished(dynamodb, table, parents):
    rows = leases(dynamodb, table)
    open_ones = {n: rows.get(shard_id(n), {}).get("checkpoint", {}).get("S") for n in parents}
    open_ones = {n: checkpoint for n, checkpoint in open_ones.items() if checkpoint != "SHARD_END"}
    return f"checkpoints of parents: {open_ones}" if open_ones else None


def lease_table(dynamodb, table, worker, live, ended):
    """What the lease table lacks, if anything."""
    rows = leases(dynamodb, table)
    for number in ended:
        row = rows.get(shard_id(number))
        if row is None or row["checkpoint"] != {"S": "SHARD_END"} or not row.get("childShardIds", {}).get("SS"):
            return f"the lease of ended shard {number} is {row}"
    for number in live:
        row = rows.get(shard_id(number))
        if row is None:
            return f"shard {number} has no lease"
        if row.get("leaseOwner") != {"S": worker} or not re.fullmatch(r"\d{56}", row["checkpoint"]["S"]):
            return f"the lease of open shard {number} is {row}"
        if not row.get("parentShardId", {}).get("SS"):
            return f"the lease of child {number} names no parents: {row}"
    return None


def other_tables(dynamodb, name, worker):
    """What only the 3.x line has: the index by owner, the leader's lock, the workers' metrics."""
    found = dynamodb.query(
        TableName=name, IndexName="LeaseOwnerToLeaseKeyIndex",
        KeyConditionExpression="leaseOwner = :o", ExpressionAttributeValues={":o": {"S": worker}},
    )  # fmt: skip
    if len(found["Items"]) < 3:
        raise AssertionError(f"the index by owner knows {found['Items']}")
    leader = dynamodb.get_item(TableName=f"{name}-CoordinatorState", Key={"key": {"S": "Leader"}}).get("Item")
    if not leader or leader["ownerName"] != {"S": worker}:
        raise AssertionError(f"the leader's lock is {leader}")
    stats = dynamodb.get_item(TableName=f"{name}-WorkerMetricStats", Key={"wid": {"S": worker}}).get("Item")
    if not stats or "lut" not in stats:
        raise AssertionError(f"the worker's metrics are {stats}")
    return "leases, index by owner, leader lock, worker metrics"


def metrics(log):
    """The KCL logs what it hands to CloudWatch, and what CloudWatch refused."""
    with open(log, encoding="utf-8", errors="replace") as lines:
        text = lines.read()
    drained = sum(int(count) for count in re.findall(r"Drained (\d+) datums from queue", text))
    failed = re.findall(r"(?:Could not publish|Unknown exception while publishing) \d+ datums.*", text)
    if failed or not drained:
        raise AssertionError(f"{drained} datums were taken for publication, and {len(failed)} calls failed: {failed[:1]}")
    return f"{drained} datums published"


def retrieval(endpoint, stream, shards, mode):
    """By the broker's log: every shard was read in the way that was asked for, and in no other."""
    read_by = {}
    for operation in ("SubscribeToShard", "GetRecords"):
        query = urllib.parse.urlencode({"operation": operation, "stream": stream, "last": 10000})
        with urllib.request.urlopen(f"{endpoint}/_kcl/operations?{query}", timeout=20) as answer:
            calls = json.load(answer)["operations"]
        failed = [call["outcome"] for call in calls if call["outcome"] != "ok"]
        if failed:
            raise AssertionError(f"{operation} failed {len(failed)} of {len(calls)} times: {sorted(set(failed))}")
        read_by[operation] = {call["shard"] for call in calls}
    wanted, other = ("SubscribeToShard", "GetRecords") if mode == "fanout" else ("GetRecords", "SubscribeToShard")
    if read_by[wanted] != {shard_id(number) for number in range(shards)} or read_by[other]:
        raise AssertionError(f"shards were read by {read_by}")
