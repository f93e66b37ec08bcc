use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use http::{
    Request,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use kcl_core::Timestamp;
use minicbor::{Decoder, Encoder};
use serde_json::json;

use super::*;

const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=any/20130101/us-east-1/monitoring/aws4_request, SignedHeaders=host, Signature=0";

fn broker() -> Broker {
    Broker::builder()
        .clock(std::sync::Arc::new(|| Timestamp::from_epoch_millis(1_357_034_400_250)))
        .build()
}

fn head(path: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::post(path)
        .header("authorization", SIGNED)
        .header("x-amz-date", "20130101T100000Z");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

async fn post(broker: &Broker, head: &Parts, body: &[u8]) -> (Response<()>, Vec<u8>) {
    let response = crate::wire::respond(broker, Peer::InProcess, head, body).await.unwrap();
    let (parts, body) = response.into_parts();
    let Body::Full(body) = body else { panic!("events") };
    (Response::from_parts(parts, ()), body.to_vec())
}

fn form(body: &str) -> Value {
    form::read(body.as_bytes()).unwrap()
}

#[test]
fn forms_are_read_as_what_they_stand_for() {
    let read = form(
        "Action=PutMetricData&Version=2010-08-01&Namespace=my+app&MetricData.member.1.MetricName=a%26b\
         &MetricData.member.1.Dimensions.member.1.Name=n&MetricData.member.1.Dimensions.member.1.Value=v\
         &MetricData.member.2.Values.member.1=1.5&MetricData.member.2.Values.member.2=2&MetricData.member.10.Unit=Count\
         &MetricData.member.10.Dimensions=",
    );
    assert_eq!(
        read,
        json!({
            "Action": "PutMetricData", "Version": "2010-08-01", "Namespace": "my app",
            "MetricData": [
                {"MetricName": "a&b", "Dimensions": [{"Name": "n", "Value": "v"}]},
                {"Values": ["1.5", "2"]},
                {"Unit": "Count"},
            ],
        })
    );
    for wrong in [
        "A=1&A.member.1=2",
        "A.member.x=1",
        "A.member.1=1&A.Name=2",
        &format!("A{}=1", ".x".repeat(5_000)),
    ] {
        assert_eq!(form::read(wrong.as_bytes()), None, "{wrong}");
    }
    assert_eq!(form::read(b""), Some(json!({})));
}

#[tokio::test]
async fn the_same_point_arrives_in_every_protocol() {
    let broker = broker();
    let form = head(
        "/",
        &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
    );
    let body = "Action=PutMetricData&Version=2010-08-01&Namespace=app&MetricData.member.1.MetricName=m\
                &MetricData.member.1.Value=1.5&MetricData.member.1.Timestamp=2013-01-01T10%3A00%3A00Z\
                &MetricData.member.1.Unit=Count&MetricData.member.1.Dimensions.member.1.Name=d\
                &MetricData.member.1.Dimensions.member.1.Value=v";
    let (response, answer) = post(&broker, &form, body.as_bytes()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], "text/xml");
    let id = response.headers()[REQUEST_ID].to_str().unwrap();
    assert_eq!(
        String::from_utf8(answer).unwrap(),
        format!(
            "<PutMetricDataResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\"><ResponseMetadata>\
             <RequestId>{id}</RequestId></ResponseMetadata></PutMetricDataResponse>"
        )
    );

    let datum = json!({
        "MetricName": "m", "Value": 1.5, "Timestamp": 1_357_034_400, "Unit": "Count",
        "Dimensions": [{"Name": "d", "Value": "v"}],
    });
    let request = json!({"Namespace": "app", "MetricData": [datum]}).to_string();
    let json = [
        ("content-type", "application/x-amz-json-1.0"),
        ("x-amz-target", "GraniteServiceVersion20100801.PutMetricData"),
    ];
    let (response, answer) = post(&broker, &head("/", &json), request.as_bytes()).await;
    assert_eq!((response.status(), answer.len()), (StatusCode::OK, 0));

    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(request.as_bytes()).unwrap();
    let gzip = [json[0], json[1], (CONTENT_ENCODING.as_str(), "gzip")];
    let (response, _) = post(&broker, &head("/", &gzip), &packed.finish().unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);

    let mut body = Vec::new();
    let mut to = Encoder::new(&mut body);
    to.map(2).unwrap().str("Namespace").unwrap().str("app").unwrap();
    to.str("MetricData").unwrap().begin_array().unwrap().map(5).unwrap();
    to.str("MetricName").unwrap().str("m").unwrap();
    to.str("Value").unwrap().f64(1.5).unwrap();
    to.str("Timestamp")
        .unwrap()
        .tag(minicbor::data::IanaTag::Timestamp)
        .unwrap()
        .f64(1_357_034_400.0)
        .unwrap();
    to.str("Unit").unwrap().str("Count").unwrap();
    to.str("Dimensions").unwrap().array(1).unwrap().map(2).unwrap();
    to.str("Name")
        .unwrap()
        .str("d")
        .unwrap()
        .str("Value")
        .unwrap()
        .str("v")
        .unwrap();
    to.end().unwrap();
    let cbor = [("content-type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")];
    let path = "/service/GraniteServiceVersion20100801/operation/PutMetricData";
    let (response, _) = post(&broker, &head(path, &cbor), &body).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["smithy-protocol"], "rpc-v2-cbor");

    let data = broker.metric_data();
    assert_eq!(data.len(), 4);
    for datum in &data {
        assert_eq!(datum, &data[0]);
        assert_eq!(
            (datum.statistics.sum, datum.timestamp.epoch_millis()),
            (1.5, 1_357_034_400_000)
        );
        assert_eq!(datum.dimensions["d"], "v");
    }
    let logged: Vec<_> = broker
        .operations()
        .entries(&Default::default())
        .iter()
        .map(|entry| entry.operation.to_string())
        .collect();
    assert_eq!(logged, ["CloudWatch.PutMetricData"; 4]);
}

#[tokio::test]
async fn outputs_are_written_in_every_protocol() {
    let broker = broker();
    let list = |metric: &str| {
        format!(
            "Action=PutMetricData&Namespace=app&MetricData.member.1.MetricName={metric}&MetricData.member.1.Value=2"
        )
    };
    let form = head("/", &[("content-type", FORM)]);
    post(&broker, &form, list("a%3Cb%26c").as_bytes()).await;
    let (_, answer) = post(&broker, &form, b"Action=ListMetrics").await;
    let answer = String::from_utf8(answer).unwrap();
    let metric = "<Metrics><member><Namespace>app</Namespace><MetricName>a&lt;b&amp;c</MetricName><Dimensions></Dimensions>\
                  </member></Metrics>";
    assert!(
        answer.contains(&format!("<ListMetricsResult>{metric}</ListMetricsResult>")),
        "{answer}"
    );

    let request = json!({
        "Namespace": "app", "MetricName": "a<b&c", "StartTime": 1_357_034_000, "EndTime": 1_357_035_000, "Period": 60,
        "Statistics": ["Sum"],
    });
    let target = ("x-amz-target", "GraniteServiceVersion20100801.GetMetricStatistics");
    let (_, answer) = post(&broker, &head("/", &[target]), request.to_string().as_bytes()).await;
    assert_eq!(
        serde_json::from_slice::<Value>(&answer).unwrap(),
        json!({
            "Label": "a<b&c", "Datapoints": [{"Timestamp": 1_357_034_400.0, "Sum": 2.0, "Unit": "None"}],
        })
    );

    let output = Node::Structure(vec![("Timestamp", Node::Time(Timestamp::from_epoch_millis(1_500)))]);
    let written = cbor::write(&output);
    let mut decoder = Decoder::new(&written);
    assert_eq!(decoder.map().unwrap(), Some(1));
    assert_eq!(decoder.str().unwrap(), "Timestamp");
    assert_eq!((decoder.tag().unwrap().as_u64(), decoder.f64().unwrap()), (1, 1.5));
}

#[tokio::test]
async fn errors_are_told_in_every_protocol() {
    let broker = broker();
    let form = head("/", &[("content-type", FORM)]);
    let (response, answer) = post(&broker, &form, b"Action=PutMetricData&Namespace=app").await;
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let error = "<Error><Type>Sender</Type><Code>MissingParameter</Code><Message>The parameter MetricData is required.";
    assert!(answer.contains(error), "{answer}");
    let (_, answer) = post(&broker, &form, b"Namespace=app").await;
    assert!(
        String::from_utf8(answer)
            .unwrap()
            .contains("<Code>InvalidAction</Code>")
    );

    let target = ("x-amz-target", "GraniteServiceVersion20100801.PutMetricData");
    let (response, answer) = post(&broker, &head("/", &[target]), b"{}").await;
    assert_eq!(response.headers()["x-amzn-query-error"], "MissingParameter;Sender");
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(
        answer["__type"],
        "com.amazonaws.cloudwatch#MissingRequiredParameterException"
    );
    let (_, answer) = post(&broker, &head("/", &[target]), b"{").await;
    assert!(String::from_utf8(answer).unwrap().contains("SerializationException"));
    let gzip = ("content-encoding", "gzip");
    let (response, _) = post(&broker, &head("/", &[target, gzip]), b"{}").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let zstd = ("content-encoding", "zstd");
    let (_, answer) = post(&broker, &head("/", &[target, zstd]), b"{}").await;
    assert!(String::from_utf8(answer).unwrap().contains("zstd is not known"));

    let path = "/service/GraniteServiceVersion20100801/operation/PutDashboard";
    let (response, _) = post(&broker, &head(path, &[]), b"\xa0").await;
    assert_eq!(response.headers()["x-amzn-query-error"], "InvalidAction;Sender");
    let unsigned = Request::post("/")
        .header("content-type", FORM)
        .body(())
        .unwrap()
        .into_parts()
        .0;
    let (_, answer) = post(&broker, &unsigned, b"Action=ListMetrics").await;
    assert!(
        String::from_utf8(answer)
            .unwrap()
            .contains("<Code>MissingAuthenticationToken</Code>")
    );
}

#[test]
fn a_small_body_that_unpacks_to_a_large_one_is_refused() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..32 {
        packed.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 1 << 16);
    let error = inflate::inflated(&head("/", &[("content-encoding", "gzip")]), &packed).unwrap_err();
    assert!(error.message().contains("larger than"), "{error}");
}
