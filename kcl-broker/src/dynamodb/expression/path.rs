//! [`Path`]: where in an item a value lies.

use std::{fmt, slice};

use super::{
    Fault, Placeholders,
    lexer::{Token, Tokens},
    reserved,
};
use crate::dynamodb::{item::Item, value::AttributeValue};

/// The most steps of a path.
const STEPS_MAX: usize = 32;

/// One step of a path after its first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dynamodb) enum Step {
    Member(String),
    Element(usize),
}

/// An attribute of an item, and the way to a value inside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dynamodb) struct Path {
    pub(super) attribute: String,
    pub(super) steps: Vec<Step>,
}

impl Path {
    /// A whole attribute.
    pub(in crate::dynamodb) fn to_attribute(name: impl Into<String>) -> Self {
        Self {
            attribute: name.into(),
            steps: Vec::new(),
        }
    }

    /// The attribute that the path begins at.
    pub(in crate::dynamodb) fn attribute(&self) -> &str {
        &self.attribute
    }

    /// Whether the path leads into the attribute rather than to it.
    pub(in crate::dynamodb) const fn is_nested(&self) -> bool {
        !self.steps.is_empty()
    }

    pub(super) fn parse(tokens: &mut Tokens<'_>, placeholders: &mut Placeholders) -> Result<Self, Fault> {
        let attribute = member(tokens, placeholders)?;
        let mut steps = Vec::new();
        loop {
            if tokens.take(".") {
                steps.push(Step::Member(member(tokens, placeholders)?));
            } else if tokens.take("[") {
                let Token::Index(digits) = tokens.peek() else {
                    return Err(tokens.unexpected());
                };
                let index = digits.parse().map_err(|_| {
                    let digits = &digits[..digits.len().min(20)];
                    Fault(format!(
                        "List index is not within the allowable range; index: [{digits}]"
                    ))
                })?;
                tokens.next();
                tokens.expect("]")?;
                steps.push(Step::Element(index));
            } else {
                break;
            }
            if steps.len() >= STEPS_MAX {
                return Err(Fault(format!(
                    "The document path has too many nesting elements; nesting level: {}",
                    steps.len() + 1
                )));
            }
        }
        Ok(Self { attribute, steps })
    }

    /// The value that the path leads to.
    pub(super) fn find<'a>(&self, item: &'a Item) -> Option<&'a AttributeValue> {
        let mut value = item.get(&self.attribute)?;
        for step in &self.steps {
            value = match (step, value) {
                (Step::Member(name), AttributeValue::M(members)) => members.get(name)?,
                (Step::Element(index), AttributeValue::L(elements)) => elements.get(*index)?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// Refuses two paths of one expression that lead to the same value, or one into the other.
    pub(super) fn check_apart(paths: &[&Self]) -> Result<(), Fault> {
        // In order, a path that leads into another comes right after it or after others that do.
        let mut sorted = paths.to_vec();
        sorted.sort_unstable();
        for pair in sorted.windows(2) {
            let [first, second] = pair else { continue };
            if first.attribute == second.attribute && second.steps.starts_with(&first.steps) {
                return Err(Fault(format!(
                    "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: \
                     {first}, path two: {second}"
                )));
            }
            check_kinds(first, second)?;
        }
        Ok(())
    }
}

/// Refuses two paths of which one takes a value for a list and the other takes it for a map.
fn check_kinds(first: &Path, second: &Path) -> Result<(), Fault> {
    if first.attribute != second.attribute {
        return Ok(());
    }
    let mut pairs = first.steps.iter().zip(&second.steps);
    match pairs.find(|(first, second)| first != second) {
        Some((Step::Member(_), Step::Element(_)) | (Step::Element(_), Step::Member(_))) => Err(Fault(format!(
            "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: {first}, \
             path two: {second}"
        ))),
        _ => Ok(()),
    }
}

fn member(tokens: &mut Tokens<'_>, placeholders: &mut Placeholders) -> Result<String, Fault> {
    let name = match tokens.peek() {
        Token::Word(word) if reserved::is_reserved(word) => {
            return Err(Fault(format!(
                "Attribute name is a reserved keyword; reserved keyword: {word}"
            )));
        }
        Token::Word(word) => word.to_owned(),
        Token::Name(name) => placeholders.name(name)?,
        _ => return Err(tokens.unexpected()),
    };
    tokens.next();
    Ok(name)
}

impl fmt::Display for Path {
    /// As messages of the service show paths.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.attribute)?;
        for step in &self.steps {
            match step {
                Step::Member(name) => write!(f, ", {name}")?,
                Step::Element(index) => write!(f, ", [{index}]")?,
            }
        }
        f.write_str("]")
    }
}

impl<'a> IntoIterator for &'a Path {
    type Item = &'a Step;
    type IntoIter = slice::Iter<'a, Step>;

    fn into_iter(self) -> Self::IntoIter {
        self.steps.iter()
    }
}
