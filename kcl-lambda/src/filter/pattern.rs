//! Patterns: read once, checked for what AWS refuses, then matched.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Metadata, PATTERN_CHARACTERS_MAX,
    found::{Found, Shape},
    number,
    problem::{InvalidPattern, PatternProblem},
    value_test::{Comparison, Scalar, ValueTest},
};

/// All fields match, and one of the alternatives, if there are any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ObjectPattern {
    /// By their places in the shape.
    fields: Vec<(usize, Condition)>,
    alternatives: Vec<Self>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Value(Vec<ValueTest>),
    Object(ObjectPattern),
}

impl ObjectPattern {
    pub(super) fn matches(&self, found: &Found<'_>) -> bool {
        match found {
            Found::Unfit => false,
            Found::Object(slots) => self.matches_fields(Some(slots)),
            Found::List(_) => self.matches_element(found).unwrap_or_else(|| self.matches_fields(None)),
            _ => self.matches_fields(None),
        }
    }

    /// Whether an object of a list matches; `None` if there is no object in it.
    fn matches_element(&self, found: &Found<'_>) -> Option<bool> {
        match found {
            Found::Object(slots) => Some(self.matches_fields(Some(slots))),
            Found::List(elements) => {
                let mut any = None;
                for element in elements {
                    match self.matches_element(element) {
                        Some(true) => return Some(true),
                        Some(false) => any = Some(false),
                        None => {}
                    }
                }
                any
            }
            _ => None,
        }
    }

    /// Without slots every field is missing.
    fn matches_fields(&self, slots: Option<&[Found<'_>]>) -> bool {
        let matches = |(place, condition): &(usize, Condition)| {
            let found = slots.map_or(&Found::Missing, |slots| &slots[*place]);
            match condition {
                Condition::Value(tests) => tests.iter().any(|test| test.passes(found)),
                Condition::Object(pattern) => pattern.matches(found),
            }
        };
        self.fields.iter().all(matches)
            && (self.alternatives.is_empty() || self.alternatives.iter().any(|object| object.matches_fields(slots)))
    }
}

/// Reads a pattern, and adds what it asks for to the shape.
pub(super) fn read(pattern: &str, metadata: bool, shape: &mut Shape) -> Result<ObjectPattern, InvalidPattern> {
    let mut reader = Reader {
        path: Vec::new(),
        metadata,
    };
    reader.pattern(pattern, shape).map_err(|problem| InvalidPattern {
        path: reader.path_text(),
        problem,
    })
}

/// Reads a pattern; after a problem, `path` says where it is.
struct Reader {
    path: Vec<Step>,
    metadata: bool,
}

enum Step {
    Field(String),
    Element(usize),
}

/// Where in a record an object pattern stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Record,
    Data,
}

impl Reader {
    fn path_text(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if text.is_empty() => text.push_str(name),
                Step::Field(name) => text.extend([".", name]),
                Step::Element(place) => text.push_str(&format!("[{place}]")),
            }
        }
        if text.is_empty() { "the top".to_owned() } else { text }
    }

    fn pattern(&mut self, pattern: &str, shape: &mut Shape) -> Result<ObjectPattern, PatternProblem> {
        let characters = pattern.chars().count();
        if characters > PATTERN_CHARACTERS_MAX {
            return Err(PatternProblem::TooLong { characters });
        }
        let raw: &RawValue = serde_json::from_str(pattern).map_err(|error| not_json(&error))?;
        if !is_object(raw) {
            return Err(PatternProblem::NotAnObject);
        }
        self.object(raw, Level::Record, shape)
    }

    fn object(&mut self, raw: &RawValue, level: Level, shape: &mut Shape) -> Result<ObjectPattern, PatternProblem> {
        let Entries(entries) = serde_json::from_str(raw.get()).map_err(|error| not_json(&error))?;
        if entries.is_empty() {
            return Err(PatternProblem::Empty);
        }
        let mut pattern = ObjectPattern {
            fields: Vec::new(),
            alternatives: Vec::new(),
        };
        for (place, (name, value)) in entries.iter().enumerate() {
            if entries[..place].iter().any(|(other, _)| other == name) {
                return Err(PatternProblem::Twice { name: name.clone() });
            }
            self.path.push(Step::Field(name.clone()));
            if name == "$or" {
                pattern.alternatives = self.alternatives(value, level, shape)?;
            } else {
                let place = shape.place_for(name);
                let condition = self.field(name, value, level, shape.child_mut(place))?;
                pattern.fields.push((place, condition));
            }
            self.path.pop();
        }
        Ok(pattern)
    }

    fn alternatives(
        &mut self,
        raw: &RawValue,
        level: Level,
        shape: &mut Shape,
    ) -> Result<Vec<ObjectPattern>, PatternProblem> {
        let objects: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| PatternProblem::Or)?;
        if objects.len() < 2 || !objects.iter().all(|object| is_object(object)) {
            return Err(PatternProblem::Or);
        }
        let mut alternatives = Vec::with_capacity(objects.len());
        for (place, object) in objects.into_iter().enumerate() {
            self.path.push(Step::Element(place));
            alternatives.push(self.object(object, level, shape)?);
            self.path.pop();
        }
        Ok(alternatives)
    }

    fn field(
        &mut self,
        name: &str,
        raw: &RawValue,
        level: Level,
        shape: &mut Shape,
    ) -> Result<Condition, PatternProblem> {
        if level == Level::Record && name != "data" {
            return self.metadata(name, raw, shape);
        }
        if is_object(raw) {
            return self.object(raw, Level::Data, shape).map(Condition::Object);
        }
        if level == Level::Record {
            return Err(PatternProblem::DataIsNoObject);
        }
        self.alternative_values(raw, shape)
    }

    fn metadata(&mut self, name: &str, raw: &RawValue, shape: &mut Shape) -> Result<Condition, PatternProblem> {
        let name = name.to_owned();
        if Metadata::of_name(&name).is_none() {
            return Err(PatternProblem::UnknownField { name });
        }
        if !self.metadata {
            return Err(PatternProblem::Metadata { name });
        }
        if is_object(raw) {
            return Err(PatternProblem::NothingBelow);
        }
        self.alternative_values(raw, shape)
    }

    fn alternative_values(&mut self, raw: &RawValue, shape: &mut Shape) -> Result<Condition, PatternProblem> {
        shape.make_leaf();
        if !is_list(raw) {
            let value = raw.get().to_owned();
            return Err(PatternProblem::ValueOutsideOfList { value });
        }
        let values: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|error| not_json(&error))?;
        if values.is_empty() {
            return Err(PatternProblem::Empty);
        }
        let mut tests = Vec::with_capacity(values.len());
        for (place, value) in values.into_iter().enumerate() {
            self.path.push(Step::Element(place));
            tests.push(match scalar(value)? {
                Some(scalar) => ValueTest::Is(scalar),
                None if is_list(value) => return Err(PatternProblem::ListInList),
                None => self.operator(value)?,
            });
            self.path.pop();
        }
        Ok(Condition::Value(tests))
    }

    fn operator(&mut self, raw: &RawValue) -> Result<ValueTest, PatternProblem> {
        let Entries(entries) = serde_json::from_str(raw.get()).map_err(|error| not_json(&error))?;
        let [(name, operand)] = entries.as_slice() else {
            return Err(PatternProblem::NotOneOperator);
        };
        self.path.push(Step::Field(name.clone()));
        let test = operator(name, operand)?;
        self.path.pop();
        Ok(test)
    }
}

fn operator(name: &str, operand: &RawValue) -> Result<ValueTest, PatternProblem> {
    match name {
        "exists" => match scalar(operand)? {
            Some(Scalar::Bool(wanted)) => Ok(ValueTest::Exists(wanted)),
            _ => Err(PatternProblem::Operand { needs: "true or false" }),
        },
        "prefix" => text(name, operand).map(ValueTest::Prefix),
        "suffix" => text(name, operand).map(ValueTest::Suffix),
        "equals-ignore-case" => text(name, operand).map(ValueTest::EqualsIgnoreCase),
        "anything-but" => anything_but(operand),
        "numeric" => numeric(operand),
        "wildcard" | "cidr" => Err(PatternProblem::UnsupportedOperator { name: name.to_owned() }),
        _ => Err(PatternProblem::UnknownOperator { name: name.to_owned() }),
    }
}

fn text(name: &str, operand: &RawValue) -> Result<Box<str>, PatternProblem> {
    match scalar(operand)? {
        Some(Scalar::Text(text)) => Ok(text),
        None if is_object(operand) => Err(nested(name, operand)?),
        _ => Err(PatternProblem::Operand { needs: "text" }),
    }
}

fn anything_but(operand: &RawValue) -> Result<ValueTest, PatternProblem> {
    let problem = PatternProblem::Operand {
        needs: "a value, or a list of values (text, numbers, booleans, null)",
    };
    if let Some(scalar) = scalar(operand)? {
        return Ok(ValueTest::AnythingBut(vec![scalar]));
    }
    if is_object(operand) {
        return Err(nested("anything-but", operand)?);
    }
    let values: Vec<&RawValue> = serde_json::from_str(operand.get()).map_err(|error| not_json(&error))?;
    let scalars: Option<Vec<_>> = values.into_iter().map(scalar).collect::<Result<_, _>>()?;
    let scalars = scalars.filter(|scalars| !scalars.is_empty()).ok_or(problem)?;
    Ok(ValueTest::AnythingBut(scalars))
}

/// The problem with an operator in an operator, by the names of both.
fn nested(outer: &str, operand: &RawValue) -> Result<PatternProblem, PatternProblem> {
    let Entries(entries) = serde_json::from_str(operand.get()).map_err(|error| not_json(&error))?;
    let inner = entries.first().map_or("", |(name, _)| name);
    let name = format!("{outer}/{inner}");
    Ok(PatternProblem::UnsupportedOperator { name })
}

fn numeric(operand: &RawValue) -> Result<ValueTest, PatternProblem> {
    let problem = || PatternProblem::Operand {
        needs: "one comparison and its number such as [\"<\", 5], or a lower and then a higher bound such as \
                [\">\", 0, \"<=\", 5]",
    };
    let terms: Vec<&RawValue> = serde_json::from_str(operand.get()).map_err(|_| problem())?;
    let mut bounds = Vec::new();
    for pair in terms.chunks(2) {
        let [comparison, bound] = pair else {
            return Err(problem());
        };
        let (Some(Scalar::Text(comparison)), Some(Scalar::Number(bound))) = (scalar(comparison)?, scalar(bound)?)
        else {
            return Err(problem());
        };
        bounds.push((Comparison::of(&comparison).ok_or_else(problem)?, bound));
    }
    let sound = match bounds.as_slice() {
        [_] => true,
        [(low, from), (high, to)] => low.is_lower_bound() && high.is_upper_bound() && number::compare(from, to).is_lt(),
        _ => false,
    };
    if sound {
        Ok(ValueTest::Numeric(bounds))
    } else {
        Err(problem())
    }
}

/// A value, if it is neither a list nor an object.
fn scalar(raw: &RawValue) -> Result<Option<Scalar>, PatternProblem> {
    let json = raw.get();
    let scalar = match json.as_bytes().first() {
        Some(b'{' | b'[') => return Ok(None),
        Some(b'"') => Scalar::Text(serde_json::from_str(json).map_err(|error| not_json(&error))?),
        Some(b't') => Scalar::Bool(true),
        Some(b'f') => Scalar::Bool(false),
        Some(b'n') => Scalar::Null,
        _ => Scalar::Number(json.into()),
    };
    Ok(Some(scalar))
}

fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

fn is_list(raw: &RawValue) -> bool {
    raw.get().starts_with('[')
}

fn not_json(error: &serde_json::Error) -> PatternProblem {
    PatternProblem::NotJson {
        reason: error.to_string(),
    }
}

/// The members of an object in their order, each as often as it is there.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor).map(Entries)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}
