//! `kclctl put` against a service that refuses some records for the moment.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::common::{error, json as parsed, ok, run_with};

/// The partition keys that were taken, in order.
type Taken = Arc<Mutex<Vec<String>>>;

/// Answers `PutRecords`: for the n-th call (from 1) `refuses(n, i)` says whether record i is refused.
async fn service(refuses: fn(usize, usize) -> bool) -> (String, Taken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let taken = Taken::default();
    let calls = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let (calls, taken) = (Arc::clone(&calls), Arc::clone(&taken));
            tokio::spawn(serve(connection, move |request| {
                let mut call = calls.lock().unwrap();
                *call += 1;
                let records = request["Records"].as_array().unwrap();
                let answers = records.iter().enumerate().map(|(i, record)| {
                    if refuses(*call, i) {
                        return json!({ "ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow" });
                    }
                    taken
                        .lock()
                        .unwrap()
                        .push(record["PartitionKey"].as_str().unwrap().to_owned());
                    json!({ "SequenceNumber": "1", "ShardId": "shardId-000000000000" })
                });
                json!({ "Records": answers.collect::<Vec<_>>() })
            }));
        }
    });
    (endpoint, seen)
}

async fn serve(connection: TcpStream, answer: impl Fn(&Value) -> Value) {
    let mut connection = BufReader::new(connection);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if connection.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body).await.unwrap();
        let body = answer(&serde_json::from_slice(&body).unwrap()).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all((head + &body).as_bytes()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_refused_records_are_put_again_and_before_all_later_ones() {
    // Of the first call every second record, of the second all.
    let (endpoint, taken) = service(|call, i| (call == 1 && i % 2 == 0) || call == 2).await;
    let lines: String = (0..1_000).map(|n| format!("{n}\n")).collect();
    let totals = parsed(&ok(&run_with(
        &["put", "--stream", "s", "--json", "--endpoint", &endpoint],
        lines,
    )
    .await));
    assert_eq!(totals["records"], 1_000);

    let taken: Vec<usize> = taken.lock().unwrap().iter().map(|key| key.parse().unwrap()).collect();
    let refused = usize::try_from(totals["retried"].as_u64().unwrap()).unwrap() / 2;
    assert!(refused > 0);
    // How many records the first call had depends on how fast they were read; an odd number has one more refused.
    let first_call: Vec<usize> = taken.iter().copied().take_while(|n| n % 2 == 0).collect();
    assert!(
        (refused - 1..=refused).contains(&first_call.len()),
        "{refused} {first_call:?}"
    );
    let again = &taken[first_call.len()..first_call.len() + refused];
    assert!(again.iter().enumerate().all(|(i, n)| *n == 2 * i + 1), "{again:?}");
    let later = &taken[first_call.len() + refused..];
    assert!(
        later.is_sorted() && later.len() == 1_000 - first_call.len() - refused,
        "{later:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_fits_no_call_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(connection, |_| json!({ "Records": [] })));
        }
    });
    let output = run_with(&["put", "--stream", "s", "--endpoint", &endpoint], "x\n").await;
    assert_eq!(
        error(&output, 1),
        "error: PutRecords: the service answered 0 records of 1"
    );
}
