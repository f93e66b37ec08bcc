use serde_json::json;

use super::*;

const NOW_MS: i64 = 1_357_034_400_250;

fn call(metrics: &mut Metrics, operation: &str, request: &Value) -> Result<Option<Node>, MetricsError> {
    metrics.call(Timestamp::from_epoch_millis(NOW_MS), operation, request.clone())
}

fn put(metrics: &mut Metrics, datum: &Value) -> Result<(), MetricsError> {
    let request = json!({"Namespace": "billing", "MetricData": [datum]});
    call(metrics, "PutMetricData", &request).map(|output| assert_eq!(output, None))
}

/// An output as JSON.
fn plain(node: &Node) -> Value {
    match node {
        Node::Text(text) => json!(text),
        Node::Number(number) => json!(number),
        Node::Time(at) => json!(at.epoch_millis()),
        Node::List(list) => list.iter().map(plain).collect(),
        Node::Structure(members) => members
            .iter()
            .map(|(name, member)| (name.to_string(), plain(member)))
            .collect(),
    }
}

#[test]
fn what_is_put_is_read_back() {
    let mut metrics = Metrics::new(10);
    let dimensions = json!([{"Name": "Operation", "Value": "RenewLease"}, {"Name": "WorkerIdentifier", "Value": "w"}]);
    put(
        &mut metrics,
        &json!({
            "MetricName": "Time", "Dimensions": dimensions, "Timestamp": 1_357_034_399.5, "Unit": "Milliseconds",
            "StatisticValues": {"SampleCount": 2, "Sum": 7.5, "Minimum": 2.5, "Maximum": 5},
        }),
    )
    .unwrap();
    put(&mut metrics, &json!({"MetricName": "Success", "Value": 1})).unwrap();
    put(
        &mut metrics,
        &json!({"MetricName": "Lag", "Values": [1, 4], "Counts": [3, 2], "Unit": "Count"}),
    )
    .unwrap();
    let [time, success, lag] = metrics.data().cloned().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(
        (&*time.namespace, &*time.metric_name, &*time.unit),
        ("billing", "Time", "Milliseconds")
    );
    assert_eq!(time.dimensions["Operation"], "RenewLease");
    assert_eq!(time.timestamp, Timestamp::from_epoch_millis(1_357_034_399_500));
    assert_eq!(
        (time.values.len(), time.statistics),
        (0, StatisticSet::new(2.0, 7.5, 2.5, 5.0))
    );
    assert_eq!(success.values, [(1.0, 1.0)]);
    assert_eq!((success.timestamp.epoch_millis(), &*success.unit), (NOW_MS, "None"));
    assert_eq!(lag.values, [(1.0, 3.0), (4.0, 2.0)]);
    assert_eq!(lag.statistics, StatisticSet::new(5.0, 11.0, 1.0, 4.0));
}

#[test]
fn what_breaks_the_rules_is_refused_and_nothing_of_the_request_is_kept() {
    use MetricsErrorKind::{InvalidParameterCombination, InvalidParameterValue, Malformed, MissingParameter};
    let mut metrics = Metrics::new(10);
    for (datum, kind, words) in [
        (
            json!({"Value": 1}),
            MissingParameter,
            "MetricData.member.2.MetricName is required",
        ),
        (json!({"MetricName": ""}), InvalidParameterValue, "between 1 and 255"),
        (
            json!({"MetricName": "m"}),
            MissingParameter,
            "MetricData.member.2.Value is required",
        ),
        (
            json!({"MetricName": "m", "Value": 1, "Values": [1]}),
            InvalidParameterCombination,
            "mutually exclusive",
        ),
        (
            json!({"MetricName": "m", "Values": [1], "Counts": [1, 2]}),
            InvalidParameterCombination,
            "the same size",
        ),
        (
            json!({"MetricName": "m", "Values": [1], "Counts": [0]}),
            InvalidParameterValue,
            "greater than 0",
        ),
        (
            json!({"MetricName": "m", "Values": []}),
            InvalidParameterValue,
            "between 1 and 150",
        ),
        (
            json!({"MetricName": "m", "Value": 1e109}),
            InvalidParameterValue,
            "between -2^360 and 2^360",
        ),
        (
            json!({"MetricName": "m", "Value": "NaN"}),
            InvalidParameterValue,
            "between -2^360 and 2^360",
        ),
        (json!({"MetricName": "m", "Value": "one"}), Malformed, "no number"),
        (
            json!({"MetricName": "m", "Value": 1, "Unit": "Furlongs"}),
            InvalidParameterValue,
            "Furlongs",
        ),
        (
            json!({"MetricName": "m", "Value": 1, "StorageResolution": 2}),
            InvalidParameterValue,
            "1 or 60",
        ),
        (
            json!({"MetricName": "m", "Value": 1, "Timestamp": "now"}),
            Malformed,
            "ISO 8601",
        ),
        (
            json!({"MetricName": "m", "Value": 1, "Dimensions": [{"Name": "d"}]}),
            MissingParameter,
            "MetricData.member.2.Dimensions.member.1.Value",
        ),
        (
            json!({"MetricName": "m", "StatisticValues": {"Sum": 1}}),
            MissingParameter,
            "StatisticValues.SampleCount",
        ),
    ] {
        let request = json!({"Namespace": "billing", "MetricData": [{"MetricName": "good", "Value": 1}, datum]});
        let error = call(&mut metrics, "PutMetricData", &request).unwrap_err();
        assert_eq!(error.kind(), kind, "{datum}: {error}");
        assert!(error.message().contains(words), "{datum}: {error}");
    }
    for (request, kind) in [
        (
            json!({"MetricData": [{"MetricName": "m", "Value": 1}]}),
            MissingParameter,
        ),
        (json!({"Namespace": "billing"}), MissingParameter),
        (
            json!({"Namespace": ":billing", "MetricData": [{"MetricName": "m", "Value": 1}]}),
            InvalidParameterValue,
        ),
        (
            json!({"Namespace": "billing", "EntityMetricData": [{}]}),
            InvalidParameterValue,
        ),
        (json!(["billing"]), Malformed),
    ] {
        assert_eq!(
            call(&mut metrics, "PutMetricData", &request).unwrap_err().kind(),
            kind,
            "{request}"
        );
    }
    assert_eq!(metrics.data().count(), 0);
    let unknown = call(&mut metrics, "PutDashboard", &json!({})).unwrap_err();
    assert_eq!(unknown.kind(), MetricsErrorKind::InvalidAction);
}

#[test]
fn the_oldest_points_are_dropped_when_there_are_too_many_or_they_are_too_large() {
    let mut metrics = Metrics::new(3);
    for i in 0..5 {
        put(&mut metrics, &json!({"MetricName": format!("m{i}"), "Value": i})).unwrap();
    }
    let names: Vec<_> = metrics.data().map(|datum| datum.metric_name.clone()).collect();
    assert_eq!(names, ["m2", "m3", "m4"]);

    let mut metrics = Metrics::new(usize::MAX);
    let dimensions: Vec<_> = (0..30)
        .map(|i| json!({"Name": format!("{i}{}", "x".repeat(250)), "Value": "y".repeat(1024)}))
        .collect();
    let datum = json!({"MetricName": "m", "Value": 1, "Dimensions": dimensions});
    let request = json!({"Namespace": "billing", "MetricData": vec![datum; 100]});
    for _ in 0..20 {
        call(&mut metrics, "PutMetricData", &request).unwrap();
        let bytes: usize = metrics.data().map(|datum| datum.footprint()).sum();
        assert_eq!(bytes, metrics.bytes);
        assert!(bytes <= BYTES_MAX);
    }
    assert!(metrics.data().count() < 2_000);
}

#[test]
fn metrics_are_listed_once_each_and_page_by_page() {
    let mut metrics = Metrics::new(10_000);
    for i in 0..501 {
        for _ in 0..2 {
            let dimensions = json!([{"Name": "shard", "Value": format!("{i:03}")}]);
            put(
                &mut metrics,
                &json!({"MetricName": "m", "Value": 1, "Dimensions": dimensions}),
            )
            .unwrap();
        }
    }
    put(
        &mut metrics,
        &json!({"MetricName": "old", "Value": 1, "Timestamp": "2013-01-01T06:00:00Z"}),
    )
    .unwrap();
    let mut list = |request: Value| plain(&call(&mut metrics, "ListMetrics", &request).unwrap().unwrap());
    let first = list(json!({}));
    assert_eq!(first["Metrics"].as_array().unwrap().len(), 500);
    let rest = list(json!({"NextToken": first["NextToken"]}));
    assert_eq!(rest["Metrics"].as_array().unwrap().len(), 2);
    assert_eq!(rest.get("NextToken"), None);
    let one = list(json!({"Namespace": "billing", "Dimensions": [{"Name": "shard", "Value": "007"}]}));
    assert_eq!(
        one["Metrics"],
        json!([{
            "Namespace": "billing", "MetricName": "m", "Dimensions": [{"Name": "shard", "Value": "007"}],
        }])
    );
    let named = list(json!({"MetricName": "old"}));
    assert_eq!(named["Metrics"].as_array().unwrap().len(), 1);
    let recent = list(json!({"MetricName": "old", "RecentlyActive": "PT3H"}));
    assert_eq!(recent["Metrics"], json!([]));
    assert_eq!(list(json!({"Namespace": "other"}))["Metrics"], json!([]));
}

#[test]
fn statistics_are_told_by_period() {
    let mut metrics = Metrics::new(100);
    for (at, value) in [
        ("10:00:10", 1.0),
        ("10:00:50", 5.0),
        ("10:01:00", 7.0),
        ("10:02:00", 9.0),
    ] {
        let datum =
            json!({"MetricName": "m", "Value": value, "Timestamp": format!("2013-01-01T{at}Z"), "Unit": "Count"});
        put(&mut metrics, &datum).unwrap();
    }
    let request = json!({
        "Namespace": "billing", "MetricName": "m", "StartTime": "2013-01-01T10:00:00Z", "EndTime": "2013-01-01T10:02:00Z",
        "Period": 60, "Statistics": ["Average", "Sum", "SampleCount", "Minimum", "Maximum"],
    });
    let answer = plain(&call(&mut metrics, "GetMetricStatistics", &request).unwrap().unwrap());
    let minute = 1_357_034_400_000_i64;
    assert_eq!(
        answer,
        json!({"Label": "m", "Datapoints": [
            {
                "Timestamp": minute, "SampleCount": 2.0, "Average": 3.0, "Sum": 6.0, "Minimum": 1.0, "Maximum": 5.0,
                "Unit": "Count",
            },
            {
                "Timestamp": minute + 60_000, "SampleCount": 1.0, "Average": 7.0, "Sum": 7.0, "Minimum": 7.0,
                "Maximum": 7.0, "Unit": "Count",
            },
        ]})
    );
    for (member, value, kind) in [
        ("Period", json!(61), MetricsErrorKind::InvalidParameterValue),
        ("Statistics", json!(["Median"]), MetricsErrorKind::InvalidParameterValue),
        (
            "ExtendedStatistics",
            json!(["p99"]),
            MetricsErrorKind::InvalidParameterValue,
        ),
        (
            "EndTime",
            json!("2013-01-01T10:00:00Z"),
            MetricsErrorKind::InvalidParameterCombination,
        ),
        (
            "EndTime",
            json!("2014-01-01T10:00:00Z"),
            MetricsErrorKind::InvalidParameterCombination,
        ),
        ("MetricName", Value::Null, MetricsErrorKind::MissingParameter),
    ] {
        let mut wrong = request.clone();
        wrong[member] = value.clone();
        let error = call(&mut metrics, "GetMetricStatistics", &wrong).unwrap_err();
        assert_eq!(error.kind(), kind, "{member} {value}: {error}");
    }
}
