"""boto3 against the broker. One function a capability; each makes the streams and tables that it needs."""

import datetime
import itertools
import os
import threading
import time
import uuid

import boto3
import botocore.config
import botocore.exceptions

from telling import Telling, equal, true

CONFIG = botocore.config.Config(retries={"max_attempts": 2}, connect_timeout=5, read_timeout=20)
kinesis = boto3.client("kinesis", config=CONFIG)
dynamodb = boto3.client("dynamodb", config=CONFIG)
cloudwatch = boto3.client("cloudwatch", config=CONFIG)
numbers = itertools.count(1)


def fails(code, call, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        equal(error.response["Error"]["Code"], code, f"the error of {call.__name__}")
        equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 400, "its status")
        true(error.response["Error"]["Message"], f"{code} comes without a message")
        return error
    raise AssertionError(f"{call.__name__} succeeded, and should have failed with {code}")


def new_stream(shards=2):
    name = f"boto3-{os.getpid()}-{next(numbers)}"
    kinesis.create_stream(StreamName=name, ShardCount=shards)
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    return name


def wait_active(name):
    for _ in range(100):
        if kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE":
            return
        time.sleep(0.1)
    raise AssertionError(f"{name} does not become ACTIVE")


def shards_of(name):
    pages = kinesis.get_paginator("list_shards").paginate(StreamName=name)
    return {shard["ShardId"]: shard for page in pages for shard in page["Shards"]}


def put_many(name, texts):
    entries = [{"Data": text.encode(), "PartitionKey": text} for text in texts]
    answer = kinesis.put_records(StreamName=name, Records=entries)
    equal(answer["FailedRecordCount"], 0, "failed records")
    return answer["Records"]


def drain(name, shard, kind="TRIM_HORIZON", **start):
    """Reads a shard to its tip, or to its end. Returns the records, and the children if it ended."""
    iterator = kinesis.get_shard_iterator(StreamName=name, ShardId=shard, ShardIteratorType=kind, **start)["ShardIterator"]
    records = []
    for _ in range(200):
        answer = kinesis.get_records(ShardIterator=iterator, Limit=7)
        records += answer["Records"]
        iterator = answer.get("NextShardIterator")
        children = answer.get("ChildShards", [])
        if iterator is None:
            true(children, f"{shard} ended without children")
            return records, children
        equal(children, [], f"children of {shard}, which has not ended")
        if not answer["Records"] and answer["MillisBehindLatest"] == 0:
            return records, None
    raise AssertionError(f"{shard} has no end")


def streams():
    name = new_stream(3)
    description = kinesis.describe_stream(StreamName=name)["StreamDescription"]
    equal(len(description["Shards"]), 3, "shards")
    equal(description["RetentionPeriodHours"], 24, "retention")
    age = datetime.datetime.now(datetime.timezone.utc) - description["StreamCreationTimestamp"]
    true(abs(age.total_seconds()) < 60, f"the stream seems to be {age} old")
    summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    equal(summary["OpenShardCount"], 3, "open shards")
    arn = summary["StreamARN"]
    equal(kinesis.describe_stream_summary(StreamARN=arn)["StreamDescriptionSummary"]["StreamName"], name, "name of the ARN")
    names = [n for page in kinesis.get_paginator("list_streams").paginate(Limit=1) for n in page["StreamNames"]]
    true(name in names, f"{name} is not listed")
    equal(len(names), len(set(names)), "listed names, each once")
    kinesis.increase_stream_retention_period(StreamName=name, RetentionPeriodHours=48)
    kinesis.decrease_stream_retention_period(StreamName=name, RetentionPeriodHours=36)
    equal(kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["RetentionPeriodHours"], 36, "retention")
    kinesis.add_tags_to_stream(StreamName=name, Tags={"team": "interop", "ort": "Köln"})
    kinesis.remove_tags_from_stream(StreamName=name, TagKeys=["team"])
    equal(kinesis.list_tags_for_stream(StreamName=name)["Tags"], [{"Key": "ort", "Value": "Köln"}], "tags")
    kinesis.update_stream_mode(StreamARN=arn, StreamModeDetails={"StreamMode": "ON_DEMAND"})
    wait_active(name)
    mode = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamModeDetails"]
    equal(mode, {"StreamMode": "ON_DEMAND"}, "mode")
    true(kinesis.describe_limits()["ShardLimit"] > 0, "no shard limit")
    kinesis.delete_stream(StreamName=name)
    kinesis.get_waiter("stream_not_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})


def put():
    name = new_stream()
    shards = sorted(shards_of(name).values(), key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))
    last = str(2**128 - 1)
    first = kinesis.put_record(StreamName=name, Data=b"\x00\xff\xfe bytes", PartitionKey="ключ")
    next_one = kinesis.put_record(
        StreamName=name, Data=b"", PartitionKey="x", ExplicitHashKey=last, SequenceNumberForOrdering=first["SequenceNumber"]
    )
    equal(next_one["ShardId"], shards[1]["ShardId"], "the shard of the highest hash key")
    true(int(next_one["SequenceNumber"]) > int(first["SequenceNumber"]), "sequence numbers grow")
    answers = put_many(name, [f"r{i}" for i in range(100)])
    equal({answer["ShardId"] for answer in answers}, {shard["ShardId"] for shard in shards}, "the shards of 100 keys")
    arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    kinesis.put_record(StreamARN=arn, Data=b"by its ARN", PartitionKey="x")
    kinesis.put_record(StreamName=name, Data=b"x" * (1024 * 1024 - 1), PartitionKey="x")


def poll():
    name = new_stream()
    put_many(name, [f"r{i}" for i in range(60)])
    binary = bytes(range(256))
    at = kinesis.put_record(StreamName=name, Data=binary, PartitionKey="ключ", ExplicitHashKey="0")
    shard = at["ShardId"]
    everything = {}
    for each in shards_of(name):
        records, _ = drain(name, each)
        order = [int(record["SequenceNumber"]) for record in records]
        equal(order, sorted(order), "records in the order of their numbers")
        everything[each] = records
    texts = sorted(record["Data"] for records in everything.values() for record in records if record["Data"] != binary)
    equal(texts, sorted(f"r{i}".encode() for i in range(60)), "all records, each once")
    last = everything[shard][-1]
    equal((last["Data"], last["PartitionKey"]), (binary, "ключ"), "data and key")
    age = datetime.datetime.now(datetime.timezone.utc) - last["ApproximateArrivalTimestamp"]
    true(-5 < age.total_seconds() < 60, f"the record seems to be {age} old")
    number = at["SequenceNumber"]
    equal(len(drain(name, shard, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number)[0]), 1, "records at the last one")
    equal(len(drain(name, shard, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=number)[0]), 0, "records after the last one")
    equal(len(drain(name, shard, "LATEST")[0]), 0, "records at LATEST")
    early = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    equal(len(drain(name, shard, "AT_TIMESTAMP", Timestamp=early)[0]), len(everything[shard]), "records since an hour ago")


def reshard():
    name = new_stream(2)
    put_many(name, [f"a{i}" for i in range(40)])
    low, high = sorted(shards_of(name).values(), key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))
    middle = str(int(low["HashKeyRange"]["EndingHashKey"]) // 2)
    kinesis.split_shard(StreamName=name, ShardToSplit=low["ShardId"], NewStartingHashKey=middle)
    wait_active(name)
    put_many(name, [f"b{i}" for i in range(40)])
    children = [shard for shard in shards_of(name).values() if shard.get("ParentShardId") == low["ShardId"]]
    equal(len(children), 2, "children of the split")
    upper = max(children, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))
    kinesis.merge_shards(StreamName=name, ShardToMerge=upper["ShardId"], AdjacentShardToMerge=high["ShardId"])
    wait_active(name)
    put_many(name, [f"c{i}" for i in range(40)])
    merged = [shard for shard in shards_of(name).values() if "AdjacentParentShardId" in shard]
    equal(len(merged), 1, "shards that were merged")
    waiting, done, seen = [low["ShardId"], high["ShardId"]], [], []
    while waiting:
        shard = waiting.pop(0)
        records, ends = drain(name, shard)
        seen += [record["Data"].decode() for record in records]
        done.append(shard)
        for child in ends or []:
            if set(child["ParentShards"]) <= set(done) and child["ShardId"] not in waiting:
                waiting.append(child["ShardId"])
    expected = [f"{letter}{i}" for letter in "abc" for i in range(40)]
    equal(sorted(seen), sorted(expected), "all records through the lineage, each once")
    equal(len(done), 5, "shards read")
    open_now = [s for page in kinesis.get_paginator("list_shards").paginate(StreamName=name, ShardFilter={"Type": "AT_LATEST"}) for s in page["Shards"]]
    equal(len(open_now), 2, "open shards")
    answer = kinesis.update_shard_count(StreamName=name, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
    equal((answer["CurrentShardCount"], answer["TargetShardCount"]), (2, 4), "counts")
    wait_active(name)
    equal(kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["OpenShardCount"], 4, "open shards")


def new_consumer(name, consumer="reader"):
    arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]
    made = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName=consumer)["Consumer"]
    for _ in range(100):
        found = kinesis.describe_stream_consumer(ConsumerARN=made["ConsumerARN"])["ConsumerDescription"]
        if found["ConsumerStatus"] == "ACTIVE":
            return arn, found
        time.sleep(0.1)
    raise AssertionError("the consumer does not become ACTIVE")


def consumers():
    name = new_stream(1)
    arn, found = new_consumer(name)
    equal(found["StreamARN"], arn, "the consumer's stream")
    fails("ResourceInUseException", kinesis.register_stream_consumer, StreamARN=arn, ConsumerName="reader")
    new_consumer(name, "second")
    pages = kinesis.get_paginator("list_stream_consumers").paginate(StreamARN=arn, PaginationConfig={"PageSize": 1})
    equal(sorted(c["ConsumerName"] for page in pages for c in page["Consumers"]), ["reader", "second"], "consumers")
    kinesis.deregister_stream_consumer(StreamARN=arn, ConsumerName="second")
    for _ in range(100):
        if len(kinesis.list_stream_consumers(StreamARN=arn)["Consumers"]) == 1:
            break
        time.sleep(0.1)
    fails("ResourceNotFoundException", kinesis.describe_stream_consumer, StreamARN=arn, ConsumerName="second")
    fails("ResourceInUseException", kinesis.delete_stream, StreamName=name)
    kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)


def fanout():
    name = new_stream(1)
    _, consumer = new_consumer(name)
    put_many(name, [f"a{i}" for i in range(20)])
    shard = next(iter(shards_of(name)))
    subscription = kinesis.subscribe_to_shard(
        ConsumerARN=consumer["ConsumerARN"], ShardId=shard, StartingPosition={"Type": "TRIM_HORIZON"}
    )
    limit = threading.Timer(60, subscription["EventStream"].close)
    limit.start()
    texts, live, continuation, ends = [], False, None, None
    try:
        for message in subscription["EventStream"]:
            event = message["SubscribeToShardEvent"]
            for record in event["Records"]:
                age = datetime.datetime.now(datetime.timezone.utc) - record["ApproximateArrivalTimestamp"]
                true(-5 < age.total_seconds() < 60, f"the record seems to be {age} old")
                texts.append(record["Data"].decode())
            if event.get("ChildShards"):
                true(not event.get("ContinuationSequenceNumber"), "the end of a shard comes with a continuation")
                ends = event["ChildShards"]
                continue
            true(ends is None, "an event follows the end of the shard")
            continuation = event["ContinuationSequenceNumber"]
            if len(texts) == 20 and not live:
                live = True
                # What is put while the subscription is open arrives through it.
                put_many(name, [f"b{i}" for i in range(20)])
            elif len(texts) == 40:
                middle = str(2**127)
                kinesis.split_shard(StreamName=name, ShardToSplit=shard, NewStartingHashKey=middle)
                texts.append("split")
    finally:
        limit.cancel()
    equal(texts, [f"a{i}" for i in range(20)] + [f"b{i}" for i in range(20)] + ["split"], "records in order")
    true(continuation, "no continuation")
    equal(len(ends or []), 2, "children at the end")
    for child in ends:
        equal(child["ParentShards"], [shard], "parents")
    put_many(name, ["c"])
    found = []
    for child in ends:
        events = kinesis.subscribe_to_shard(
            ConsumerARN=consumer["ConsumerARN"], ShardId=child["ShardId"], StartingPosition={"Type": "TRIM_HORIZON"}
        )["EventStream"]
        event = next(iter(events))["SubscribeToShardEvent"]
        found += [record["Data"].decode() for record in event["Records"]]
        events.close()
    equal(found, ["c"], "records of the children")
    child = ends[0]["ShardId"]
    fails(
        "ResourceInUseException", kinesis.subscribe_to_shard,
        ConsumerARN=consumer["ConsumerARN"], ShardId=child, StartingPosition={"Type": "LATEST"},
    )  # fmt: skip


def tables():
    table = f"boto3-{os.getpid()}-leases"
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    lease = {"leaseKey": {"S": "shardId-0"}, "leaseCounter": {"N": "0"}, "checkpoint": {"S": "TRIM_HORIZON"}, "parentShardId": {"SS": ["b", "a"]}}
    absent = {"leaseKey": {"Exists": False}}
    dynamodb.put_item(TableName=table, Item=lease, Expected=absent)
    fails("ConditionalCheckFailedException", dynamodb.put_item, TableName=table, Item=lease, Expected=absent)
    key = {"leaseKey": {"S": "shardId-0"}}
    after = dynamodb.update_item(
        TableName=table, Key=key, ReturnValues="ALL_NEW",
        UpdateExpression="SET leaseOwner = :o ADD leaseCounter :one REMOVE checkpointOwner",
        ConditionExpression="attribute_not_exists(leaseOwner) AND leaseCounter = :zero",
        ExpressionAttributeValues={":o": {"S": "me"}, ":one": {"N": "1"}, ":zero": {"N": "0"}},
    )["Attributes"]  # fmt: skip
    equal((after["leaseOwner"], after["leaseCounter"]), ({"S": "me"}, {"N": "1"}), "the lease after the update")
    error = fails(
        "ConditionalCheckFailedException", dynamodb.update_item, TableName=table, Key=key, UpdateExpression="SET leaseOwner = :o",
        ConditionExpression="leaseOwner <> :o", ExpressionAttributeValues={":o": {"S": "me"}}, ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )  # fmt: skip
    equal(error.response["Item"]["leaseCounter"], {"N": "1"}, "the item that came with the error")
    updates = {"leaseCounter": {"Value": {"N": "2"}, "Action": "PUT"}, "checkpoint": {"Value": {"S": "49"}, "Action": "PUT"}}
    dynamodb.update_item(TableName=table, Key=key, AttributeUpdates=updates, Expected={"leaseCounter": {"Value": {"N": "1"}}})
    dynamodb.update_table(
        TableName=table,
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("leaseOwner", "leaseKey")],
        GlobalSecondaryIndexUpdates=[{"Create": {
            "IndexName": "ByOwner",
            "KeySchema": [{"AttributeName": "leaseOwner", "KeyType": "HASH"}, {"AttributeName": "leaseKey", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }}],
    )  # fmt: skip
    for _ in range(100):
        indexes = dynamodb.describe_table(TableName=table)["Table"]["GlobalSecondaryIndexes"]
        if indexes[0]["IndexStatus"] == "ACTIVE":
            break
        time.sleep(0.1)
    found = dynamodb.query(TableName=table, IndexName="ByOwner", KeyConditionExpression="leaseOwner = :o", ExpressionAttributeValues={":o": {"S": "me"}})
    equal(found["Items"], [{"leaseKey": {"S": "shardId-0"}, "leaseOwner": {"S": "me"}}], "what the index knows")
    for i in range(1, 25):
        dynamodb.put_item(TableName=table, Item={"leaseKey": {"S": f"shardId-{i}"}, "leaseCounter": {"N": str(i)}})
    items = [item for page in dynamodb.get_paginator("scan").paginate(TableName=table, PaginationConfig={"PageSize": 7}) for item in page["Items"]]
    equal(len({item["leaseKey"]["S"] for item in items}), 25, "items of the scan")
    parts = [dynamodb.scan(TableName=table, Segment=n, TotalSegments=3)["Items"] for n in range(3)]
    equal(sorted(i["leaseKey"]["S"] for part in parts for i in part), sorted(i["leaseKey"]["S"] for i in items), "items of a scan in segments")
    got = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"]
    equal((got["checkpoint"], sorted(got["parentShardId"]["SS"])), ({"S": "49"}, ["a", "b"]), "the lease")
    dynamodb.delete_item(TableName=table, Key=key)
    equal("Item" in dynamodb.get_item(TableName=table, Key=key), False, "a deleted lease is there")
    dynamodb.delete_table(TableName=table)
    fails("ResourceNotFoundException", dynamodb.describe_table, TableName=table)


def metrics():
    now = datetime.datetime.now(datetime.timezone.utc)
    datum = {"MetricName": "Lag", "Timestamp": now, "Value": 5, "Unit": "Milliseconds", "Dimensions": [{"Name": "ShardId", "Value": "0"}]}
    cloudwatch.put_metric_data(Namespace="interop", MetricData=[datum])
    # So much that the SDK compresses it.
    many = [dict(datum, MetricName=f"Lag{i}", Dimensions=[{"Name": "ShardId", "Value": f"shardId-{i:012}" * 5}]) for i in range(200)]
    cloudwatch.put_metric_data(Namespace="interop", MetricData=many)


def errors():
    name = f"boto3-{uuid.uuid4()}"
    missing = fails("ResourceNotFoundException", kinesis.describe_stream_summary, StreamName=name)
    true(isinstance(missing, kinesis.exceptions.ResourceNotFoundException), "the error has no type")
    fails("ResourceNotFoundException", kinesis.put_record, StreamName=name, Data=b"x", PartitionKey="x")
    made = new_stream(1)
    fails("ResourceInUseException", kinesis.create_stream, StreamName=made, ShardCount=1)
    shard = next(iter(shards_of(made)))
    fails("InvalidArgumentException", kinesis.get_records, ShardIterator="nonsense")
    fails("InvalidArgumentException", kinesis.get_shard_iterator, StreamName=made, ShardId=shard, ShardIteratorType="AT_SEQUENCE_NUMBER")
    fails("ValidationException", kinesis.get_shard_iterator, StreamName=made, ShardId=shard, ShardIteratorType="SOMEWHERE")
    fails("ResourceNotFoundException", kinesis.get_shard_iterator, StreamName=made, ShardId="shardId-000000000009", ShardIteratorType="LATEST")
    big = b"x" * (1024 * 1024 + 1)
    true(fails_any(kinesis.put_record, StreamName=made, Data=big, PartitionKey="x") in ("ValidationException", "InvalidArgumentException"), "a record too big")


def fails_any(call, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    return "no error"


telling = Telling()
for scenario in (streams, put, poll, reshard, consumers, fanout, tables, metrics, errors):
    telling.check(scenario.__name__, scenario)
telling.end()
