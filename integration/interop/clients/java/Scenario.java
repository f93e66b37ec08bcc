import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.cloudwatch.model.MetricDatum;
import software.amazon.awssdk.services.cloudwatch.model.StandardUnit;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.BillingMode;
import software.amazon.awssdk.services.dynamodb.model.ConditionalCheckFailedException;
import software.amazon.awssdk.services.dynamodb.model.KeyType;
import software.amazon.awssdk.services.dynamodb.model.PutItemRequest;
import software.amazon.awssdk.services.dynamodb.model.ReturnValue;
import software.amazon.awssdk.services.dynamodb.model.ScalarAttributeType;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.model.ChildShard;
import software.amazon.awssdk.services.kinesis.model.ConsumerStatus;
import software.amazon.awssdk.services.kinesis.model.GetRecordsResponse;
import software.amazon.awssdk.services.kinesis.model.InvalidArgumentException;
import software.amazon.awssdk.services.kinesis.model.PutRecordResponse;
import software.amazon.awssdk.services.kinesis.model.PutRecordsRequestEntry;
import software.amazon.awssdk.services.kinesis.model.Record;
import software.amazon.awssdk.services.kinesis.model.ResourceInUseException;
import software.amazon.awssdk.services.kinesis.model.ResourceNotFoundException;
import software.amazon.awssdk.services.kinesis.model.ScalingType;
import software.amazon.awssdk.services.kinesis.model.Shard;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.awssdk.services.kinesis.model.StreamDescriptionSummary;
import software.amazon.awssdk.services.kinesis.model.StreamStatus;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardEvent;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardResponseHandler;

/** The Java SDK v2 against the broker, with its own defaults: CBOR, and HTTP/2 without TLS for Kinesis. */
public final class Scenario {
    private static final long LIMIT_SECONDS = 60;
    private static final KinesisAsyncClient kinesis = KinesisAsyncClient.create();
    private static final DynamoDbAsyncClient dynamodb = DynamoDbAsyncClient.create();
    private static final CloudWatchAsyncClient cloudwatch = CloudWatchAsyncClient.create();
    private static int number = 0;

    public static void main(String[] args) {
        Map<String, Callable<String>> scenarios = new LinkedHashMap<>();
        scenarios.put("streams", Scenario::streams);
        scenarios.put("put", Scenario::put);
        scenarios.put("poll", Scenario::poll);
        scenarios.put("reshard", Scenario::reshard);
        scenarios.put("consumers", Scenario::consumers);
        scenarios.put("fanout", Scenario::fanout);
        scenarios.put("tables", Scenario::tables);
        scenarios.put("metrics", Scenario::metrics);
        scenarios.put("errors", Scenario::errors);
        boolean failed = false;
        for (Map.Entry<String, Callable<String>> scenario : scenarios.entrySet()) {
            try {
                System.out.println("RESULT " + scenario.getKey() + " ok " + scenario.getValue().call());
            } catch (Throwable error) {
                failed = true;
                error.printStackTrace();
                String line = String.valueOf(error).replaceAll("\\s+", " ");
                System.out.println("RESULT " + scenario.getKey() + " FAIL " + line.substring(0, Math.min(300, line.length())));
            }
        }
        System.exit(failed ? 1 : 0);
    }

    // ---- the scenarios

    private static String streams() throws Exception {
        String name = newStream(3);
        StreamDescriptionSummary summary = summary(name);
        equal(summary.openShardCount(), 3, "open shards");
        recent(summary.streamCreationTimestamp(), "the stream");
        get(kinesis.increaseStreamRetentionPeriod(r -> r.streamName(name).retentionPeriodHours(48)));
        equal(summary(name).retentionPeriodHours(), 48, "retention");
        get(kinesis.addTagsToStream(r -> r.streamName(name).tags(Map.of("team", "interop"))));
        equal(get(kinesis.listTagsForStream(r -> r.streamName(name))).tags().size(), 1, "tags");
        check(get(kinesis.listStreams(r -> r.limit(100))).streamNames().contains(name), "the stream is not listed");
        get(kinesis.deleteStream(r -> r.streamName(name)));
        get(kinesis.waiter().waitUntilStreamNotExists(r -> r.streamName(name)));
        return "";
    }

    private static String put() throws Exception {
        String name = newStream(2);
        PutRecordResponse low = get(kinesis.putRecord(r -> r.streamName(name).partitionKey("ключ").explicitHashKey("0").data(bytes("x"))));
        equal(low.shardId(), shardsOf(name).get(0).shardId(), "the shard of the lowest hash key");
        putAll(name, range("r", 100));
        byte[] big = new byte[1024 * 1024 - 1];
        get(kinesis.putRecord(r -> r.streamName(name).partitionKey("x").data(SdkBytes.fromByteArray(big))));
        List<CompletableFuture<PutRecordResponse>> many = range("c", 40).stream()
                .map(text -> kinesis.putRecord(r -> r.streamName(name).partitionKey(text).data(bytes(text))))
                .collect(Collectors.toList());
        for (CompletableFuture<PutRecordResponse> one : many) {
            get(one);
        }
        return "";
    }

    private static String poll() throws Exception {
        String name = newStream(2);
        putAll(name, range("r", 60));
        byte[] binary = new byte[256];
        for (int i = 0; i < 256; i++) {
            binary[i] = (byte) i;
        }
        PutRecordResponse at = get(kinesis.putRecord(r -> r.streamName(name).partitionKey("ключ").explicitHashKey("0").data(SdkBytes.fromByteArray(binary))));
        List<String> seen = new ArrayList<>();
        for (Shard shard : shardsOf(name)) {
            List<Record> records = drain(name, shard.shardId()).records;
            if (shard.shardId().equals(at.shardId())) {
                Record last = records.remove(records.size() - 1);
                check(Arrays.equals(last.data().asByteArray(), binary), "binary data");
                equal(last.partitionKey(), "ключ", "partition key");
                recent(last.approximateArrivalTimestamp(), "the record");
            }
            records.forEach(record -> seen.add(record.data().asUtf8String()));
        }
        equal(new HashSet<>(seen), new HashSet<>(range("r", 60)), "records");
        equal(seen.size(), 60, "records, each once");
        Instant early = Instant.now().minus(Duration.ofHours(1));
        String since = get(kinesis.getShardIterator(r -> r.streamName(name).shardId(at.shardId()).shardIteratorType(ShardIteratorType.AT_TIMESTAMP).timestamp(early))).shardIterator();
        check(get(kinesis.getRecords(r -> r.shardIterator(since))).records().size() > 1, "no records since an hour ago");
        return "";
    }

    private static String reshard() throws Exception {
        String name = newStream(2);
        putAll(name, range("a", 40));
        List<Shard> before = shardsOf(name);
        Shard low = before.get(0);
        Shard high = before.get(1);
        String middle = new BigInteger(low.hashKeyRange().endingHashKey()).shiftRight(1).toString();
        get(kinesis.splitShard(r -> r.streamName(name).shardToSplit(low.shardId()).newStartingHashKey(middle)));
        active(name);
        putAll(name, range("b", 40));
        Shard upper = shardsOf(name).stream().filter(s -> low.shardId().equals(s.parentShardId())).collect(Collectors.toList()).get(1);
        get(kinesis.mergeShards(r -> r.streamName(name).shardToMerge(upper.shardId()).adjacentShardToMerge(high.shardId())));
        active(name);
        putAll(name, range("c", 40));
        List<String> waiting = new ArrayList<>(List.of(low.shardId(), high.shardId()));
        Set<String> done = new HashSet<>();
        List<String> seen = new ArrayList<>();
        while (!waiting.isEmpty()) {
            String shard = waiting.remove(0);
            Drained drained = drain(name, shard);
            drained.records.forEach(record -> seen.add(record.data().asUtf8String()));
            done.add(shard);
            for (ChildShard child : drained.children) {
                if (done.containsAll(child.parentShards()) && !waiting.contains(child.shardId())) {
                    waiting.add(child.shardId());
                }
            }
        }
        Set<String> expected = new HashSet<>(range("a", 40));
        expected.addAll(range("b", 40));
        expected.addAll(range("c", 40));
        equal(new HashSet<>(seen), expected, "records through the lineage");
        equal(seen.size(), 120, "records, each once");
        get(kinesis.updateShardCount(r -> r.streamName(name).targetShardCount(4).scalingType(ScalingType.UNIFORM_SCALING)));
        active(name);
        equal(summary(name).openShardCount(), 4, "open shards");
        return "";
    }

    private static String consumers() throws Exception {
        String name = newStream(1);
        String consumer = newConsumer(name);
        String stream = summary(name).streamARN();
        fails(ResourceInUseException.class, kinesis.registerStreamConsumer(r -> r.streamARN(stream).consumerName("reader")));
        equal(get(kinesis.listStreamConsumers(r -> r.streamARN(stream))).consumers().size(), 1, "consumers");
        get(kinesis.deregisterStreamConsumer(r -> r.consumerARN(consumer)));
        return "";
    }

    private static String fanout() throws Exception {
        String name = newStream(1);
        String consumer = newConsumer(name);
        putAll(name, range("a", 20));
        String shard = shardsOf(name).get(0).shardId();
        List<String> seen = Collections.synchronizedList(new ArrayList<>());
        List<ChildShard> children = Collections.synchronizedList(new ArrayList<>());
        List<String> wrong = Collections.synchronizedList(new ArrayList<>());
        CompletableFuture<Void> first = new CompletableFuture<>();
        CompletableFuture<Void> second = new CompletableFuture<>();
        CompletableFuture<Void> end = kinesis.subscribeToShard(
                r -> r.consumerARN(consumer).shardId(shard).startingPosition(p -> p.type(ShardIteratorType.TRIM_HORIZON)),
                SubscribeToShardResponseHandler.builder().subscriber(message -> {
                    SubscribeToShardEvent event = (SubscribeToShardEvent) message;
                    event.records().forEach(record -> seen.add(record.data().asUtf8String()));
                    children.addAll(event.childShards());
                    boolean ended = !event.childShards().isEmpty();
                    if (ended == (event.continuationSequenceNumber() != null)) {
                        wrong.add("an event with continuation " + event.continuationSequenceNumber() + " and children " + event.childShards());
                    }
                    if (seen.size() == 20) {
                        first.complete(null);
                    } else if (seen.size() == 40) {
                        second.complete(null);
                    }
                }).build());
        get(first);
        putAll(name, range("b", 20));
        get(second);
        get(kinesis.splitShard(r -> r.streamName(name).shardToSplit(shard).newStartingHashKey(BigInteger.TWO.pow(127).toString())));
        get(end);
        List<String> expected = range("a", 20);
        expected.addAll(range("b", 20));
        equal(seen, expected, "records in order");
        equal(children.size(), 2, "children at the end");
        equal(wrong, List.of(), "events");
        return "";
    }

    private static String tables() throws Exception {
        String table = "java-" + ProcessHandle.current().pid() + "-leases";
        get(dynamodb.createTable(r -> r.tableName(table).billingMode(BillingMode.PAY_PER_REQUEST)
                .keySchema(k -> k.attributeName("leaseKey").keyType(KeyType.HASH))
                .attributeDefinitions(a -> a.attributeName("leaseKey").attributeType(ScalarAttributeType.S))));
        get(dynamodb.waiter().waitUntilTableExists(r -> r.tableName(table)));
        Map<String, AttributeValue> lease = new HashMap<>();
        lease.put("leaseKey", AttributeValue.fromS("shardId-0"));
        lease.put("leaseCounter", AttributeValue.fromN("0"));
        lease.put("parentShardId", AttributeValue.fromSs(List.of("a", "b")));
        PutItemRequest put = PutItemRequest.builder().tableName(table).item(lease).conditionExpression("attribute_not_exists(leaseKey)").build();
        get(dynamodb.putItem(put));
        fails(ConditionalCheckFailedException.class, dynamodb.putItem(put));
        Map<String, AttributeValue> after = get(dynamodb.updateItem(r -> r.tableName(table).key(Map.of("leaseKey", AttributeValue.fromS("shardId-0")))
                .updateExpression("SET leaseOwner = :me ADD leaseCounter :one").returnValues(ReturnValue.ALL_NEW)
                .expressionAttributeValues(Map.of(":me", AttributeValue.fromS("me"), ":one", AttributeValue.fromN("1"))))).attributes();
        equal(after.get("leaseCounter").n(), "1", "counter");
        equal(get(dynamodb.scan(r -> r.tableName(table))).items(), List.of(after), "items");
        get(dynamodb.deleteTable(r -> r.tableName(table)));
        return "";
    }

    private static String metrics() throws Exception {
        MetricDatum datum = MetricDatum.builder().metricName("Lag").timestamp(Instant.now()).value(5.0).unit(StandardUnit.MILLISECONDS)
                .dimensions(d -> d.name("ShardId").value("0")).build();
        get(cloudwatch.putMetricData(r -> r.namespace("interop").metricData(datum)));
        // So much that the SDK compresses it.
        List<MetricDatum> many = IntStream.range(0, 200).mapToObj(i -> datum.toBuilder().metricName("Lag" + i).build()).collect(Collectors.toList());
        get(cloudwatch.putMetricData(r -> r.namespace("interop").metricData(many)));
        return "";
    }

    private static String errors() throws Exception {
        fails(ResourceNotFoundException.class, kinesis.describeStreamSummary(r -> r.streamName("java-nowhere")));
        fails(InvalidArgumentException.class, kinesis.getRecords(r -> r.shardIterator("nonsense")));
        String name = newStream(1);
        fails(ResourceInUseException.class, kinesis.createStream(r -> r.streamName(name).shardCount(1)));
        return "";
    }

    // ---- steps

    private static final class Drained {
        final List<Record> records = new ArrayList<>();
        List<ChildShard> children = List.of();
    }

    private static String newStream(int shards) throws Exception {
        String name = "java-" + ProcessHandle.current().pid() + "-" + ++number;
        get(kinesis.createStream(r -> r.streamName(name).shardCount(shards)));
        get(kinesis.waiter().waitUntilStreamExists(r -> r.streamName(name)));
        return name;
    }

    private static StreamDescriptionSummary summary(String name) throws Exception {
        return get(kinesis.describeStreamSummary(r -> r.streamName(name))).streamDescriptionSummary();
    }

    private static void active(String name) throws Exception {
        for (int i = 0; i < 100 && summary(name).streamStatus() != StreamStatus.ACTIVE; i++) {
            Thread.sleep(100);
        }
        equal(summary(name).streamStatus(), StreamStatus.ACTIVE, "status");
    }

    private static String newConsumer(String name) throws Exception {
        String stream = summary(name).streamARN();
        String arn = get(kinesis.registerStreamConsumer(r -> r.streamARN(stream).consumerName("reader"))).consumer().consumerARN();
        for (int i = 0; i < 100; i++) {
            if (get(kinesis.describeStreamConsumer(r -> r.consumerARN(arn))).consumerDescription().consumerStatus() == ConsumerStatus.ACTIVE) {
                return arn;
            }
            Thread.sleep(100);
        }
        throw new AssertionError("the consumer does not become ACTIVE");
    }

    private static List<Shard> shardsOf(String name) throws Exception {
        List<Shard> shards = new ArrayList<>(get(kinesis.listShards(r -> r.streamName(name))).shards());
        shards.sort((a, b) -> new BigInteger(a.hashKeyRange().startingHashKey()).compareTo(new BigInteger(b.hashKeyRange().startingHashKey())));
        return shards;
    }

    private static void putAll(String name, List<String> texts) throws Exception {
        List<PutRecordsRequestEntry> entries = texts.stream()
                .map(text -> PutRecordsRequestEntry.builder().data(bytes(text)).partitionKey(text).build())
                .collect(Collectors.toList());
        equal(get(kinesis.putRecords(r -> r.streamName(name).records(entries))).failedRecordCount(), 0, "failed records");
    }

    private static Drained drain(String name, String shard) throws Exception {
        String iterator = get(kinesis.getShardIterator(r -> r.streamName(name).shardId(shard).shardIteratorType(ShardIteratorType.TRIM_HORIZON))).shardIterator();
        Drained drained = new Drained();
        for (int i = 0; i < 200; i++) {
            String here = iterator;
            GetRecordsResponse answer = get(kinesis.getRecords(r -> r.shardIterator(here).limit(9)));
            drained.records.addAll(answer.records());
            iterator = answer.nextShardIterator();
            if (iterator == null) {
                check(!answer.childShards().isEmpty(), shard + " ended without children");
                drained.children = answer.childShards();
                return drained;
            }
            check(answer.childShards().isEmpty(), shard + " has children and has not ended");
            if (answer.records().isEmpty() && answer.millisBehindLatest() == 0) {
                return drained;
            }
        }
        throw new AssertionError(shard + " has no end");
    }

    private static <T> T get(CompletableFuture<T> future) throws Exception {
        return future.get(LIMIT_SECONDS, TimeUnit.SECONDS);
    }

    private static void fails(Class<? extends Throwable> type, CompletableFuture<?> future) throws Exception {
        try {
            get(future);
        } catch (ExecutionException | CompletionException error) {
            equal(error.getCause().getClass(), type, "the error " + error.getCause());
            return;
        }
        throw new AssertionError("a call succeeded, and should have failed with " + type);
    }

    private static List<String> range(String letter, int count) {
        return IntStream.range(0, count).mapToObj(i -> letter + i).collect(Collectors.toCollection(ArrayList::new));
    }

    private static SdkBytes bytes(String text) {
        return SdkBytes.fromString(text, StandardCharsets.UTF_8);
    }

    private static void recent(Instant time, String what) {
        check(Duration.between(time, Instant.now()).abs().toSeconds() < 60, what + " is of " + time);
    }

    private static void equal(Object got, Object expected, String what) {
        check(expected.equals(got), what + ": expected " + expected + ", got " + got);
    }

    private static void check(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }
}
