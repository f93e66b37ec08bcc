//! Outputs in AWS JSON 1.0: times are seconds since the epoch.

use serde::{Serialize, Serializer};

use crate::cloudwatch::Node;

struct Shown<'a>(&'a Node);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Node::Text(text) => serializer.serialize_str(text),
            Node::Number(number) => serializer.serialize_f64(*number),
            Node::Time(at) => serializer.serialize_f64(at.epoch_millis() as f64 / 1000.0),
            Node::List(elements) => serializer.collect_seq(elements.iter().map(Shown)),
            Node::Structure(members) => serializer.collect_map(members.iter().map(|(name, node)| (name, Shown(node)))),
        }
    }
}

pub(super) fn write(output: &Node) -> Vec<u8> {
    serde_json::to_vec(&Shown(output)).expect("outputs have text keys and their serialization does not fail")
}
