//! Conditions of any shape against a model that knows no text.

use proptest::prelude::*;

use super::*;

/// An attribute's value in the model: ordered within a kind, unordered between them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Simple {
    Number(i8),
    Letter(char),
}

#[derive(Clone, Debug)]
enum Model {
    Compare(usize, &'static str, Simple),
    Between(usize, Simple, Simple),
    In(usize, Vec<Simple>),
    Exists(usize, bool),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

const ATTRIBUTES: [&str; 3] = ["aa", "bb", "cc"];

impl Simple {
    fn shown(self) -> Value {
        match self {
            Self::Number(number) => json!({"N": number.to_string()}),
            Self::Letter(letter) => json!({"S": letter.to_string()}),
        }
    }

    /// Less, equal or greater, as a number; nothing between kinds.
    fn against(self, other: Self) -> Option<i32> {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => Some((i32::from(a) - i32::from(b)).signum()),
            (Self::Letter(a), Self::Letter(b)) => Some((a as i32 - b as i32).signum()),
            _ => None,
        }
    }
}

impl Model {
    fn holds(&self, item: &[Option<Simple>; 3]) -> bool {
        let order = |attribute: usize, value: Simple| item[attribute].and_then(|own| own.against(value));
        match self {
            Self::Compare(attribute, operator, value) => match (*operator, order(*attribute, *value)) {
                ("<>", order) => order != Some(0),
                (_, None) => false,
                ("=", Some(order)) => order == 0,
                ("<", Some(order)) => order < 0,
                ("<=", Some(order)) => order <= 0,
                (">", Some(order)) => order > 0,
                (_, Some(order)) => order >= 0,
            },
            Self::Between(attribute, low, high) => {
                order(*attribute, *low).is_some_and(|order| order >= 0)
                    && order(*attribute, *high).is_some_and(|order| order <= 0)
            }
            Self::In(attribute, values) => values.iter().any(|value| order(*attribute, *value) == Some(0)),
            Self::Exists(attribute, wanted) => item[*attribute].is_some() == *wanted,
            Self::Not(model) => !model.holds(item),
            Self::And(left, right) => left.holds(item) && right.holds(item),
            Self::Or(left, right) => left.holds(item) || right.holds(item),
        }
    }

    /// Writes the condition with no more brackets than precedence asks for: 0 allows `OR`, 1 `AND`, 2 neither.
    fn write(&self, level: u8, text: &mut String, values: &mut Vec<Simple>) {
        let mut placeholder = |value: Simple| {
            values.push(value);
            format!(":v{}", values.len() - 1)
        };
        match self {
            Self::Compare(attribute, operator, value) => {
                let value = placeholder(*value);
                text.push_str(&format!("{} {operator} {value}", ATTRIBUTES[*attribute]));
            }
            Self::Between(attribute, low, high) => {
                let (low, high) = (placeholder(*low), placeholder(*high));
                text.push_str(&format!("{} BETWEEN {low} AND {high}", ATTRIBUTES[*attribute]));
            }
            Self::In(attribute, list) => {
                let list: Vec<_> = list.iter().map(|value| placeholder(*value)).collect();
                text.push_str(&format!("{} IN ({})", ATTRIBUTES[*attribute], list.join(",")));
            }
            Self::Exists(attribute, wanted) => {
                let function = if *wanted {
                    "attribute_exists"
                } else {
                    "attribute_not_exists"
                };
                text.push_str(&format!("{function}({})", ATTRIBUTES[*attribute]));
            }
            Self::Not(model) => {
                text.push_str("NOT ");
                model.write(2, text, values);
            }
            Self::And(left, right) | Self::Or(left, right) => {
                let (own, word) = if matches!(self, Self::And(..)) {
                    (1, " AND ")
                } else {
                    (0, " OR ")
                };
                let bracketed = own < level;
                text.push_str(if bracketed { "(" } else { "" });
                left.write(own, text, values);
                text.push_str(word);
                right.write(own, text, values);
                text.push_str(if bracketed { ")" } else { "" });
            }
        }
    }
}

fn simple() -> impl Strategy<Value = Simple> {
    prop_oneof![
        (-3_i8..4).prop_map(Simple::Number),
        prop::char::range('p', 's').prop_map(Simple::Letter),
    ]
}

fn model() -> impl Strategy<Value = Model> {
    let attribute = || 0..ATTRIBUTES.len();
    let operator = prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        (attribute(), operator, simple()).prop_map(|(at, operator, value)| Model::Compare(at, operator, value)),
        (attribute(), -3_i8..4, 0_i8..4).prop_map(|(at, low, more)| Model::Between(
            at,
            Simple::Number(low),
            Simple::Number(low + more)
        )),
        (attribute(), prop::collection::vec(simple(), 1..4)).prop_map(|(at, values)| Model::In(at, values)),
        (attribute(), any::<bool>()).prop_map(|(at, wanted)| Model::Exists(at, wanted)),
    ];
    leaf.prop_recursive(5, 24, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|model| Model::Not(Box::new(model))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Model::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner).prop_map(|(a, b)| Model::Or(Box::new(a), Box::new(b))),
        ]
    })
}

proptest! {
    #[test]
    fn conditions_hold_when_their_model_does(
        model in model(), attributes in prop::array::uniform3(prop::option::of(simple())),
    ) {
        let (mut text, mut used) = (String::new(), Vec::new());
        model.write(0, &mut text, &mut used);
        let values: serde_json::Map<_, _> =
            used.iter().enumerate().map(|(place, value)| (format!(":v{place}"), value.shown())).collect();
        let values = if values.is_empty() { Value::Null } else { Value::from(values) };
        let present = ATTRIBUTES.iter().zip(attributes).filter_map(|(name, value)| Some((*name, value?.shown())));
        let of: serde_json::Map<_, _> = present.map(|(name, value)| (name.to_owned(), value)).collect();
        prop_assert_eq!(holds(&text, &Value::Null, &values, &Value::from(of)), Ok(model.holds(&attributes)), "{}", text);
    }

    #[test]
    fn any_words_are_read_or_refused(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "aa", "bb", ":v", "#n", "(", ")", ",", ".", "[", "]", "0", "=", "<>", "<", "+", "-", "AND", "OR", "NOT",
                "IN", "BETWEEN", "SET", "REMOVE", "ADD", "DELETE", "size", "contains", "if_not_exists", "list_append",
                "attribute_exists", "é", "\"",
            ]),
            0..30,
        ),
    ) {
        let text = words.join(" ");
        let mut placeholders = placeholders(&json!({"#n": "name"}), &json!({":v": {"L": [{"N": "1"}]}}));
        let of = item(&json!({"aa": {"L": [{"N": "1"}, {"N": "2"}]}, "bb": {"M": {"aa": {"N": "3"}}}}));
        if let Ok(Some(condition)) = placeholders.condition(Purpose::Condition, Some(&text)) {
            condition.holds(&of);
        }
        if let Ok(Some(update)) = placeholders.update(Some(&text)) {
            let mut changed = of.clone();
            // Whether it can be done does not matter here.
            drop(update.apply(&mut changed, true));
        }
        if let Ok(Some(projection)) = placeholders.projection(Some(&text)) {
            projection.apply(&of);
        }
    }
}
