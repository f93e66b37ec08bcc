//! [`Projection`]: the parts of an item that an answer shows.

use std::collections::BTreeMap;

use super::{Fault, Path, Placeholders, lexer::Tokens, path::Step};
use crate::dynamodb::{item::Item, value::AttributeValue};

/// Some paths, of which none leads into another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dynamodb) struct Projection {
    paths: Vec<Path>,
}

impl Projection {
    pub(super) fn parse(tokens: &mut Tokens<'_>, placeholders: &mut Placeholders) -> Result<Self, Fault> {
        let mut paths = vec![Path::parse(tokens, placeholders)?];
        while tokens.take(",") {
            paths.push(Path::parse(tokens, placeholders)?);
        }
        Path::check_apart(&paths.iter().collect::<Vec<_>>())?;
        Ok(Self { paths })
    }

    /// Shows whole attributes.
    pub(in crate::dynamodb) fn of_attributes(names: impl IntoIterator<Item = String>) -> Self {
        Self {
            paths: names.into_iter().map(Path::to_attribute).collect(),
        }
    }

    /// Shows the values at these paths.
    pub(super) fn of_paths<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        Self {
            paths: paths.into_iter().cloned().collect(),
        }
    }

    /// The attributes that the paths begin at.
    pub(in crate::dynamodb) fn attributes(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(Path::attribute)
    }

    /// The parts of `item` that are there. Elements of lists move together.
    pub(in crate::dynamodb) fn apply(&self, item: &Item) -> Item {
        let mut shown = BTreeMap::<&str, Shown<'_>>::new();
        for path in &self.paths {
            if let Some(value) = path.find(item) {
                let mut place = shown.entry(&path.attribute).or_default();
                for step in path {
                    place = place.parts.entry(step).or_default();
                }
                place.whole = Some(value);
            }
        }
        shown
            .into_iter()
            .map(|(name, shown)| (name.to_owned(), shown.into_value()))
            .collect()
    }
}

/// A value, or parts of it.
#[derive(Default)]
struct Shown<'a> {
    whole: Option<&'a AttributeValue>,
    parts: BTreeMap<&'a Step, Self>,
}

impl Shown<'_> {
    fn into_value(self) -> AttributeValue {
        if let Some(value) = self.whole {
            return value.clone();
        }
        let mut members = BTreeMap::new();
        let mut elements = Vec::new();
        for (step, part) in self.parts {
            match step {
                Step::Member(name) => {
                    members.insert(name.clone(), part.into_value());
                }
                Step::Element(_) => elements.push(part.into_value()),
            }
        }
        if elements.is_empty() {
            AttributeValue::M(members)
        } else {
            AttributeValue::L(elements)
        }
    }
}
