//! As much of HTTP/2 as a client with prior knowledge needs, written by hand.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::SIGNATURE;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const INITIAL_WINDOW_SIZE: u16 = 4;
const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn ends_stream(&self) -> bool {
        self.flags & END_STREAM != 0
    }

    pub(crate) fn is_ack(&self) -> bool {
        self.flags & ACK != 0
    }
}

pub(crate) struct Client {
    socket: TcpStream,
}

impl Client {
    /// Says the preface, and how much each stream may be sent at first.
    pub(crate) async fn new(mut socket: TcpStream, window: u32) -> Self {
        socket.write_all(PREFACE).await.unwrap();
        let mut client = Self { socket };
        let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        settings.extend_from_slice(&window.to_be_bytes());
        client.send(SETTINGS, 0, 0, &settings).await;
        client
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend_from_slice(&[kind, flags]);
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.socket.write_all(&frame).await.unwrap();
    }

    pub(crate) async fn ask(&mut self, stream: u32, operation: &str, body: &str) {
        self.begin(stream, operation).await;
        self.send(DATA, END_STREAM, stream, body.as_bytes()).await;
    }

    /// Begins a request of which there is more to come.
    pub(crate) async fn ask_without_end(&mut self, stream: u32, operation: &str, body: &str) {
        self.begin(stream, operation).await;
        self.send(DATA, 0, stream, body.as_bytes()).await;
    }

    async fn begin(&mut self, stream: u32, operation: &str) {
        let target = format!("Kinesis_20131202.{operation}");
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "broker"),
            (":path", "/"),
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", &target),
            ("x-amz-date", "20130101T100000Z"),
            ("authorization", SIGNATURE),
        ];
        let mut block = Vec::new();
        for (name, value) in fields {
            // Literally, with a new name, never to be remembered.
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap());
                block.extend_from_slice(text.as_bytes());
            }
        }
        self.send(HEADERS, END_HEADERS, stream, &block).await;
    }

    /// The next frame that is not about settings and windows. Settings are acknowledged.
    pub(crate) async fn next(&mut self) -> Frame {
        loop {
            let mut head = [0; 9];
            self.socket.read_exact(&mut head).await.unwrap();
            let frame = Frame {
                kind: head[3],
                flags: head[4],
                stream: u32::from_be_bytes(head[5..].try_into().unwrap()),
                payload: {
                    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
                    self.socket.read_exact(&mut payload).await.unwrap();
                    payload
                },
            };
            match frame.kind {
                SETTINGS if frame.is_ack() => {}
                SETTINGS => self.send(SETTINGS, ACK, 0, &[]).await,
                WINDOW_UPDATE => {}
                _ => return frame,
            }
        }
    }

    /// The rest of the data of a stream.
    pub(crate) async fn rest(&mut self, stream: u32) -> Vec<u8> {
        let mut data = Vec::new();
        loop {
            let frame = self.next().await;
            assert_eq!((frame.kind, frame.stream), (DATA, stream), "{frame:?}");
            data.extend_from_slice(&frame.payload);
            if frame.ends_stream() {
                return data;
            }
        }
    }

    /// Whether the connection is closed.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.socket.read(&mut [0]).await.is_ok_and(|read| read == 0)
    }
}
