//! Outputs of the query protocol.

use std::fmt::Write as _;

use crate::cloudwatch::{MetricsError, Node};

const NAMESPACE: &str = "http://monitoring.amazonaws.com/doc/2010-08-01/";

/// The answer to an operation that was carried out.
pub(super) fn response(operation: &str, request_id: &str, output: Option<&Node>) -> Vec<u8> {
    let mut text = format!("<{operation}Response xmlns=\"{NAMESPACE}\">");
    if let Some(output) = output {
        let _ = write!(text, "<{operation}Result>");
        put(&mut text, output);
        let _ = write!(text, "</{operation}Result>");
    }
    let _ = write!(
        text,
        "<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
    );
    text.into_bytes()
}

/// The answer to an operation that was refused.
pub(super) fn error(request_id: &str, error: &MetricsError) -> Vec<u8> {
    let fault = if error.kind().status() == 400 {
        "Sender"
    } else {
        "Receiver"
    };
    let mut text = format!("<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{fault}</Type>");
    put_element(&mut text, "Code", &Node::Text(error.kind().code().to_owned()));
    put_element(&mut text, "Message", &Node::Text(error.message().to_owned()));
    let _ = write!(text, "</Error><RequestId>{request_id}</RequestId></ErrorResponse>");
    text.into_bytes()
}

fn put(text: &mut String, node: &Node) {
    match node {
        Node::Text(content) => put_escaped(text, content),
        Node::Number(number) => {
            let _ = write!(text, "{number}");
        }
        Node::Time(at) => {
            let _ = write!(text, "{at}");
        }
        Node::List(elements) => elements.iter().for_each(|element| put_element(text, "member", element)),
        Node::Structure(members) => members
            .iter()
            .for_each(|(name, member)| put_element(text, name, member)),
    }
}

fn put_element(text: &mut String, name: &str, content: &Node) {
    let _ = write!(text, "<{name}>");
    put(text, content);
    let _ = write!(text, "</{name}>");
}

/// Writes what is not allowed as it is by its number, and leaves out what XML cannot say at all.
fn put_escaped(text: &mut String, content: &str) {
    for c in content.chars() {
        match c {
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '&' => text.push_str("&amp;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(text, "&#{};", u32::from(c));
            }
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => text.push(c),
        }
    }
}
