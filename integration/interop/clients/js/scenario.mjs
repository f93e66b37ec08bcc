// The JavaScript SDK v3 against the broker, with the handlers that it uses by itself: Kinesis over HTTP/2 without TLS.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import * as cw from "@aws-sdk/client-cloudwatch";
import * as ddb from "@aws-sdk/client-dynamodb";
import * as kds from "@aws-sdk/client-kinesis";

const kinesis = new kds.KinesisClient({ maxAttempts: 2 });
const dynamodb = new ddb.DynamoDBClient({ maxAttempts: 2 });
const cloudwatch = new cw.CloudWatchClient({ maxAttempts: 2 });
const text = (bytes) => Buffer.from(bytes).toString();
const bytes = (string) => Buffer.from(string);
const range = (letter, count) => Array.from({ length: count }, (_, i) => `${letter}${i}`);
let number = 0;

/** Expects a typed error of the SDK. */
async function fails(type, promise) {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof type, `expected ${type.name}, got ${error}`);
    assert.ok(error.message, `${type.name} comes without a message`);
    return true;
  });
}

async function newStream(shards) {
  const StreamName = `js-${process.pid}-${++number}`;
  await kinesis.send(new kds.CreateStreamCommand({ StreamName, ShardCount: shards }));
  await kds.waitUntilStreamExists({ client: kinesis, maxWaitTime: 20, minDelay: 1, maxDelay: 1 }, { StreamName });
  return StreamName;
}

async function summary(StreamName) {
  return (await kinesis.send(new kds.DescribeStreamSummaryCommand({ StreamName }))).StreamDescriptionSummary;
}

async function active(StreamName) {
  for (let i = 0; i < 100; i++) {
    if ((await summary(StreamName)).StreamStatus === "ACTIVE") return;
    await sleep(100);
  }
  throw new Error(`${StreamName} does not become ACTIVE`);
}

async function shardsOf(StreamName) {
  const { Shards } = await kinesis.send(new kds.ListShardsCommand({ StreamName }));
  return Shards.sort((a, b) => (BigInt(a.HashKeyRange.StartingHashKey) < BigInt(b.HashKeyRange.StartingHashKey) ? -1 : 1));
}

async function putAll(StreamName, texts) {
  const Records = texts.map((t) => ({ Data: bytes(t), PartitionKey: t }));
  const answer = await kinesis.send(new kds.PutRecordsCommand({ StreamName, Records }));
  assert.equal(answer.FailedRecordCount, 0);
  return answer.Records;
}

/** Reads a shard to its tip, or to its end. */
async function drain(StreamName, ShardId, start = { ShardIteratorType: "TRIM_HORIZON" }) {
  let { ShardIterator } = await kinesis.send(new kds.GetShardIteratorCommand({ StreamName, ShardId, ...start }));
  const records = [];
  for (let i = 0; i < 200; i++) {
    const answer = await kinesis.send(new kds.GetRecordsCommand({ ShardIterator, Limit: 9 }));
    records.push(...answer.Records);
    ShardIterator = answer.NextShardIterator;
    if (!ShardIterator) {
      assert.ok(answer.ChildShards?.length, `${ShardId} ended without children`);
      return { records, children: answer.ChildShards };
    }
    assert.equal(answer.ChildShards?.length ?? 0, 0);
    if (answer.Records.length === 0 && answer.MillisBehindLatest === 0) return { records };
  }
  throw new Error(`${ShardId} has no end`);
}

async function streams() {
  const StreamName = await newStream(3);
  const { StreamDescription } = await kinesis.send(new kds.DescribeStreamCommand({ StreamName }));
  assert.equal(StreamDescription.Shards.length, 3);
  assert.ok(Math.abs(Date.now() - StreamDescription.StreamCreationTimestamp) < 60_000, "creation time");
  const names = [];
  for await (const page of kds.paginateListStreams({ client: kinesis, pageSize: 1 }, {})) names.push(...page.StreamNames);
  assert.ok(names.includes(StreamName), "not listed");
  await kinesis.send(new kds.IncreaseStreamRetentionPeriodCommand({ StreamName, RetentionPeriodHours: 48 }));
  assert.equal((await summary(StreamName)).RetentionPeriodHours, 48);
  await kinesis.send(new kds.AddTagsToStreamCommand({ StreamName, Tags: { team: "interop" } }));
  const { Tags } = await kinesis.send(new kds.ListTagsForStreamCommand({ StreamName }));
  assert.deepEqual(Tags, [{ Key: "team", Value: "interop" }]);
  await kinesis.send(new kds.DeleteStreamCommand({ StreamName }));
  await kds.waitUntilStreamNotExists({ client: kinesis, maxWaitTime: 20, minDelay: 1, maxDelay: 1 }, { StreamName });
}

async function put() {
  const StreamName = await newStream(2);
  const low = await kinesis.send(new kds.PutRecordCommand({ StreamName, Data: bytes("x"), PartitionKey: "ключ", ExplicitHashKey: "0" }));
  assert.equal(low.ShardId, (await shardsOf(StreamName))[0].ShardId);
  const answers = await putAll(StreamName, range("r", 100));
  assert.equal(new Set(answers.map((a) => a.ShardId)).size, 2);
  await kinesis.send(new kds.PutRecordCommand({ StreamName, Data: Buffer.alloc(1024 * 1024 - 1), PartitionKey: "x" }));
  // Many requests share one connection.
  await Promise.all(range("c", 40).map((t) => kinesis.send(new kds.PutRecordCommand({ StreamName, Data: bytes(t), PartitionKey: t }))));
}

async function poll() {
  const StreamName = await newStream(2);
  const all = range("r", 60);
  await putAll(StreamName, all);
  const binary = Uint8Array.from({ length: 256 }, (_, i) => i);
  const at = await kinesis.send(new kds.PutRecordCommand({ StreamName, Data: binary, PartitionKey: "ключ", ExplicitHashKey: "0" }));
  const seen = [];
  let last;
  for (const { ShardId } of await shardsOf(StreamName)) {
    const { records } = await drain(StreamName, ShardId);
    const order = records.map((r) => BigInt(r.SequenceNumber));
    assert.deepEqual(order, [...order].sort((a, b) => (a < b ? -1 : 1)));
    if (ShardId === at.ShardId) last = records.pop();
    seen.push(...records.map((r) => text(r.Data)));
  }
  assert.deepEqual(seen.sort(), all.sort());
  assert.deepEqual([...last.Data], [...binary]);
  assert.equal(last.PartitionKey, "ключ");
  assert.ok(Math.abs(Date.now() - last.ApproximateArrivalTimestamp) < 60_000, "arrival time");
  const after = { ShardIteratorType: "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber: at.SequenceNumber };
  assert.equal((await drain(StreamName, at.ShardId, after)).records.length, 0);
  const since = { ShardIteratorType: "AT_TIMESTAMP", Timestamp: new Date(Date.now() - 3_600_000) };
  assert.ok((await drain(StreamName, at.ShardId, since)).records.length > 1);
}

async function reshard() {
  const StreamName = await newStream(2);
  await putAll(StreamName, range("a", 40));
  const [low, high] = await shardsOf(StreamName);
  const NewStartingHashKey = (BigInt(low.HashKeyRange.EndingHashKey) / 2n).toString();
  await kinesis.send(new kds.SplitShardCommand({ StreamName, ShardToSplit: low.ShardId, NewStartingHashKey }));
  await active(StreamName);
  await putAll(StreamName, range("b", 40));
  const upper = (await shardsOf(StreamName)).filter((s) => s.ParentShardId === low.ShardId)[1];
  await kinesis.send(new kds.MergeShardsCommand({ StreamName, ShardToMerge: upper.ShardId, AdjacentShardToMerge: high.ShardId }));
  await active(StreamName);
  await putAll(StreamName, range("c", 40));
  const waiting = [low.ShardId, high.ShardId];
  const done = new Set();
  const seen = [];
  while (waiting.length > 0) {
    const shard = waiting.shift();
    const { records, children } = await drain(StreamName, shard);
    seen.push(...records.map((r) => text(r.Data)));
    done.add(shard);
    for (const child of children ?? []) {
      if (child.ParentShards.every((p) => done.has(p)) && !waiting.includes(child.ShardId)) waiting.push(child.ShardId);
    }
  }
  assert.deepEqual(seen.sort(), [...range("a", 40), ...range("b", 40), ...range("c", 40)].sort());
  await kinesis.send(new kds.UpdateShardCountCommand({ StreamName, TargetShardCount: 4, ScalingType: "UNIFORM_SCALING" }));
  await active(StreamName);
  assert.equal((await summary(StreamName)).OpenShardCount, 4);
}

async function newConsumer(StreamName) {
  const { StreamARN } = await summary(StreamName);
  const { Consumer } = await kinesis.send(new kds.RegisterStreamConsumerCommand({ StreamARN, ConsumerName: "reader" }));
  for (let i = 0; i < 100; i++) {
    const { ConsumerARN } = Consumer;
    const { ConsumerDescription } = await kinesis.send(new kds.DescribeStreamConsumerCommand({ ConsumerARN }));
    if (ConsumerDescription.ConsumerStatus === "ACTIVE") return { StreamARN, ConsumerARN };
    await sleep(100);
  }
  throw new Error("the consumer does not become ACTIVE");
}

async function consumers() {
  const StreamName = await newStream(1);
  const { StreamARN, ConsumerARN } = await newConsumer(StreamName);
  await fails(kds.ResourceInUseException, kinesis.send(new kds.RegisterStreamConsumerCommand({ StreamARN, ConsumerName: "reader" })));
  const { Consumers } = await kinesis.send(new kds.ListStreamConsumersCommand({ StreamARN }));
  assert.deepEqual(Consumers.map((c) => c.ConsumerARN), [ConsumerARN]);
  await kinesis.send(new kds.DeregisterStreamConsumerCommand({ ConsumerARN }));
}

async function fanout() {
  const StreamName = await newStream(1);
  const { ConsumerARN } = await newConsumer(StreamName);
  await putAll(StreamName, range("a", 20));
  const [{ ShardId }] = await shardsOf(StreamName);
  const subscribe = (shard) => new kds.SubscribeToShardCommand({ ConsumerARN, ShardId: shard, StartingPosition: { Type: "TRIM_HORIZON" } });
  const { EventStream } = await kinesis.send(subscribe(ShardId));
  const seen = [];
  let children;
  let live = false;
  let split = false;
  for await (const { SubscribeToShardEvent: event } of EventStream) {
    seen.push(...event.Records.map((r) => text(r.Data)));
    if (event.ChildShards?.length) {
      assert.ok(!event.ContinuationSequenceNumber, "the end of a shard comes with a continuation");
      children = event.ChildShards;
      continue;
    }
    assert.ok(event.ContinuationSequenceNumber, "no continuation");
    if (seen.length === 20 && !live) {
      live = true;
      await putAll(StreamName, range("b", 20));
    } else if (seen.length === 40 && !split) {
      split = true;
      await kinesis.send(new kds.SplitShardCommand({ StreamName, ShardToSplit: ShardId, NewStartingHashKey: (2n ** 127n).toString() }));
    }
  }
  assert.deepEqual(seen, [...range("a", 20), ...range("b", 20)]);
  assert.equal(children?.length, 2);
  await putAll(StreamName, ["c"]);
  // Both children at once, over one connection.
  const found = await Promise.all(children.map(async (child) => {
    const { EventStream: events } = await kinesis.send(subscribe(child.ShardId));
    for await (const { SubscribeToShardEvent: event } of events) return event.Records.map((r) => text(r.Data));
  }));
  assert.deepEqual(found.flat(), ["c"]);
}

async function tables() {
  const TableName = `js-${process.pid}-leases`;
  await dynamodb.send(new ddb.CreateTableCommand({
    TableName,
    BillingMode: "PAY_PER_REQUEST",
    KeySchema: [{ AttributeName: "leaseKey", KeyType: "HASH" }],
    AttributeDefinitions: [{ AttributeName: "leaseKey", AttributeType: "S" }],
  }));
  await ddb.waitUntilTableExists({ client: dynamodb, maxWaitTime: 20, minDelay: 1, maxDelay: 1 }, { TableName });
  const put = new ddb.PutItemCommand({
    TableName,
    Item: { leaseKey: { S: "shardId-0" }, leaseCounter: { N: "0" } },
    ConditionExpression: "attribute_not_exists(leaseKey)",
  });
  await dynamodb.send(put);
  await fails(ddb.ConditionalCheckFailedException, dynamodb.send(put));
  const { Attributes } = await dynamodb.send(new ddb.UpdateItemCommand({
    TableName,
    Key: { leaseKey: { S: "shardId-0" } },
    UpdateExpression: "SET leaseOwner = :me ADD leaseCounter :one",
    ConditionExpression: "attribute_not_exists(leaseOwner)",
    ExpressionAttributeValues: { ":me": { S: "me" }, ":one": { N: "1" } },
    ReturnValues: "ALL_NEW",
  }));
  assert.deepEqual(Attributes, { leaseKey: { S: "shardId-0" }, leaseCounter: { N: "1" }, leaseOwner: { S: "me" } });
  const { Items } = await dynamodb.send(new ddb.ScanCommand({ TableName }));
  assert.equal(Items.length, 1);
  await dynamodb.send(new ddb.DeleteTableCommand({ TableName }));
  await fails(ddb.ResourceNotFoundException, dynamodb.send(new ddb.DescribeTableCommand({ TableName })));
}

async function metrics() {
  const MetricData = [{ MetricName: "Lag", Timestamp: new Date(), Value: 5, Unit: "Milliseconds" }];
  await cloudwatch.send(new cw.PutMetricDataCommand({ Namespace: "interop", MetricData }));
}

async function errors() {
  await fails(kds.ResourceNotFoundException, kinesis.send(new kds.DescribeStreamSummaryCommand({ StreamName: "js-nowhere" })));
  await fails(kds.InvalidArgumentException, kinesis.send(new kds.GetRecordsCommand({ ShardIterator: "nonsense" })));
  const StreamName = await newStream(1);
  await fails(kds.ResourceInUseException, kinesis.send(new kds.CreateStreamCommand({ StreamName, ShardCount: 1 })));
  await fails(kds.ValidationException, kinesis.send(new kds.PutRecordsCommand({ StreamName, Records: [] })));
}

let failed = false;
for (const scenario of [streams, put, poll, reshard, consumers, fanout, tables, metrics, errors]) {
  try {
    await Promise.race([scenario(), sleep(60_000, undefined, { ref: false }).then(() => { throw new Error("no end within a minute"); })]);
    console.log(`RESULT ${scenario.name} ok`);
  } catch (error) {
    failed = true;
    console.error(error);
    console.log(`RESULT ${scenario.name} FAIL ${String(error).split("\n")[0].slice(0, 300)}`);
  }
}
process.exit(failed ? 1 : 0);
