//! Forms: names such as `MetricData.member.1.Dimensions.member.2.Name`, each with a text.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The most parts of a name. Recursion goes no deeper.
const PARTS_MAX: usize = 12;
/// What stands between a list's name and the number of an element.
const MEMBER: &str = "member";

/// Names that begin alike, gathered.
#[derive(Default)]
struct Tree {
    text: Option<String>,
    branches: BTreeMap<String, Self>,
}

/// Reads a form as the JSON that it stands for, in which numbers are still texts.
pub(super) fn read(body: &[u8]) -> Option<Value> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(body).ok()?;
    let mut tree = Tree::default();
    // A name without a text is how an empty list is written, and means as much as no name at all.
    for (name, text) in pairs.into_iter().filter(|(_, text)| !text.is_empty()) {
        let parts: Vec<&str> = name.split('.').collect();
        if parts.len() > PARTS_MAX {
            return None;
        }
        let mut place = &mut tree;
        for part in parts {
            place = place.branches.entry(part.to_owned()).or_default();
        }
        place.text = Some(text);
    }
    tree.into_structure()
}

impl Tree {
    fn into_value(mut self) -> Option<Value> {
        match (self.text, self.branches.remove(MEMBER), self.branches.is_empty()) {
            (Some(text), None, true) => Some(Value::String(text)),
            (None, Some(members), true) => members.into_list(),
            (None, None, false) => Self {
                text: None,
                branches: self.branches,
            }
            .into_structure(),
            // Nothing is both a text and a list, or both and something else.
            _ => None,
        }
    }

    fn into_structure(self) -> Option<Value> {
        let members = self.branches.into_iter();
        let members = members.map(|(name, branch)| Some((name, branch.into_value()?)));
        members.collect::<Option<Map<_, _>>>().map(Value::Object)
    }

    /// The elements in the order of their numbers, which may have gaps.
    fn into_list(self) -> Option<Value> {
        let mut elements = BTreeMap::new();
        for (number, branch) in self.branches {
            elements.insert(number.parse::<u32>().ok()?, branch.into_value()?);
        }
        Some(elements.into_values().collect())
    }
}
