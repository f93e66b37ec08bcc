//! What goes over a connection, byte by byte: one port for HTTP/1.1 and HTTP/2, and TLS.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fanout;
mod frames;
mod plain;
#[cfg(feature = "tls")]
mod tls;
mod trouble;

use kcl_broker::{Broker, Server};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

const SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c";

async fn server() -> Server {
    Server::bind(Broker::new(), ([127, 0, 0, 1], 0)).await.unwrap()
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.local_addr()).await.unwrap()
}

/// Asks by hand, in HTTP/1.1, and returns the head and the body of the answer.
async fn ask_over_http1(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    operation: &str,
    body: &str,
) -> (String, String) {
    let request = format!(
        "POST /any/path HTTP/1.1\r\nHost: broker\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: \
         Kinesis_20131202.{operation}\r\nX-Amz-Date: 20130101T100000Z\r\nAuthorization: {SIGNATURE}\r\nContent-Length: \
         {}\r\n\r\n{body}",
        body.len()
    );
    io.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(io.read_u8().await.unwrap());
    }
    let head = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap();
    let mut body = vec![0; length.split("\r\n").next().unwrap().parse().unwrap()];
    io.read_exact(&mut body).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}
