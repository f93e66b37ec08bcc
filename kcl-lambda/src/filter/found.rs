//! Reading of a record what patterns ask for: the rest of the JSON is checked and skipped.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Lists within lists are followed so deep where values are looked for; deeper ones count as unreadable.
const LISTS_DEEP_MAX: usize = 16;

/// The fields that patterns ask for, all patterns together.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    places: BTreeMap<Box<str>, usize>,
    children: Vec<Self>,
    /// Some pattern tests the value itself.
    is_leaf: bool,
}

impl Shape {
    /// The place of the field `name`, which is made if it is new.
    pub(super) fn place_for(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.children.len();
        self.places.insert(name.into(), place);
        self.children.push(Self::default());
        place
    }

    pub(super) fn child_mut(&mut self, place: usize) -> &mut Self {
        &mut self.children[place]
    }

    pub(super) fn make_leaf(&mut self) {
        self.is_leaf = true;
    }

    pub(super) fn child(&self, place: usize) -> &Self {
        &self.children[place]
    }

    pub(super) fn place_of(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.places.iter().map(|(name, place)| (&**name, *place))
    }

    pub(super) fn len(&self) -> usize {
        self.children.len()
    }
}

/// What was found where a pattern asks.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found<'a> {
    /// There is no such field.
    Missing,
    /// What no pattern of an object can match.
    Unfit,
    /// An object where a value is asked for, or a value where an object is.
    Other,
    Text(Cow<'a, str>),
    /// The digits as they stand there.
    Number(Cow<'a, str>),
    Bool(bool),
    Null,
    /// The fields by their places in the shape.
    Object(Vec<Self>),
    List(Vec<Self>),
}

impl Found<'_> {
    /// Whether a value is there that passes; of lists, in lists too, an element.
    pub(super) fn any_value(&self, passes: &mut impl FnMut(&Self) -> bool) -> bool {
        match self {
            Self::Missing | Self::Unfit | Self::Other | Self::Object(_) => false,
            Self::List(elements) => elements.iter().any(|element| element.any_value(passes)),
            value => passes(value),
        }
    }
}

/// Reads `data`, JSON of the `shape`. `None` if it is not JSON, or nests deeper than is followed.
pub(super) fn read<'a>(data: &'a [u8], shape: &Shape) -> Option<Found<'a>> {
    // What is skipped is not checked for UTF-8 otherwise.
    let text = str::from_utf8(data).ok()?;
    let mut json = serde_json::Deserializer::from_str(text);
    let found = Node { shape }.deserialize(&mut json).ok()?;
    json.end().ok()?;
    Some(found)
}

/// Reads one value.
struct Node<'s> {
    shape: &'s Shape,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        if self.shape.is_leaf {
            let raw = <&RawValue>::deserialize(deserializer)?;
            leaf(raw.get(), self.shape, 0).map_err(D::Error::custom)
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

/// Reads what is asked for as a value, and perhaps as an object by another pattern.
fn leaf<'a>(json: &'a str, shape: &Shape, depth: usize) -> Result<Found<'a>, serde_json::Error> {
    let found = match json.as_bytes().first() {
        Some(b'"') if !json.contains('\\') => Found::Text(Cow::Borrowed(&json[1..json.len() - 1])),
        Some(b'"') => Found::Text(Cow::Owned(serde_json::from_str(json)?)),
        Some(b'{') if shape.children.is_empty() => Found::Other,
        Some(b'{') => serde_json::Deserializer::from_str(json).deserialize_any(Node { shape })?,
        Some(b'[') if depth == LISTS_DEEP_MAX => return Err(serde_json::Error::custom("lists nest too deep")),
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(json)?;
            let elements = elements.into_iter().map(|raw| leaf(raw.get(), shape, depth + 1));
            Found::List(elements.collect::<Result<_, _>>()?)
        }
        Some(b't') => Found::Bool(true),
        Some(b'f') => Found::Bool(false),
        Some(b'n') => Found::Null,
        _ => Found::Number(Cow::Borrowed(json)),
    };
    Ok(found)
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let mut slots = vec![Found::Missing; self.shape.len()];
        while let Some(place) = map.next_key_seed(Name { shape: self.shape })? {
            match place {
                Some(place) => {
                    let shape = self.shape.child(place);
                    slots[place] = map.next_value_seed(Node { shape })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Found::Object(slots))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Found<'de>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element_seed(Node { shape: self.shape })? {
            elements.push(element);
        }
        Ok(Found::List(elements))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Found<'de>, E> {
        Ok(Found::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Found<'de>, E> {
        Ok(Found::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Found<'de>, E> {
        Ok(Found::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Found<'de>, E> {
        Ok(Found::Other)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Found<'de>, E> {
        Ok(Found::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Found<'de>, E> {
        Ok(Found::Other)
    }
}

/// Reads the name of a field: its place, if it is asked for.
struct Name<'s> {
    shape: &'s Shape,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.shape.place_of(name))
    }
}
