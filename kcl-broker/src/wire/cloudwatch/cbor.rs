//! Outputs in the CBOR of Smithy's RPC v2: times have tag 1 and are seconds since the epoch.

use std::convert::Infallible;

use minicbor::{Encoder, data::IanaTag, encode::Error};

use crate::cloudwatch::Node;

pub(super) fn write(output: &Node) -> Vec<u8> {
    let mut buffer = Vec::new();
    put(&mut Encoder::new(&mut buffer), output).expect("writing to memory does not fail");
    buffer
}

fn put(to: &mut Encoder<&mut Vec<u8>>, node: &Node) -> Result<(), Error<Infallible>> {
    match node {
        Node::Text(text) => to.str(text)?,
        Node::Number(number) => to.f64(*number)?,
        Node::Time(at) => to.tag(IanaTag::Timestamp)?.f64(at.epoch_millis() as f64 / 1000.0)?,
        Node::List(elements) => {
            to.array(elements.len() as u64)?;
            return elements.iter().try_for_each(|element| put(to, element));
        }
        Node::Structure(members) => {
            to.map(members.len() as u64)?;
            for (name, member) in members {
                to.str(name)?;
                put(to, member)?;
            }
            return Ok(());
        }
    };
    Ok(())
}
