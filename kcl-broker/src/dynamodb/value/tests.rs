use serde_json::{Value, json};

use super::*;

fn read(value: &Value) -> Result<AttributeValue, String> {
    serde_json::from_value::<RawValue>(value.clone()).unwrap().checked()
}

#[test]
fn values_of_every_type_are_written_as_they_are_read() {
    for value in [
        json!({"S": ""}),
        json!({"S": "shardId-000000000000"}),
        json!({"N": "3.25"}),
        json!({"B": "AAEC"}),
        json!({"BOOL": false}),
        json!({"NULL": true}),
        json!({"M": {"a": {"N": "1"}, "b": {"M": {}}}}),
        json!({"L": [{"S": "x"}, {"L": []}]}),
        json!({"SS": ["a", "b"]}),
        json!({"NS": ["-2", "10"]}),
        json!({"BS": ["AA==", "AQ=="]}),
    ] {
        assert_eq!(json!(read(&value).unwrap()), value);
    }
}

#[test]
fn what_is_no_value_is_refused_in_the_services_words() {
    let nested = |levels: usize| (0..levels).fold(json!({"S": "x"}), |value, _| json!({"L": [value]}));
    assert!(read(&nested(32)).is_ok());
    for (value, words) in [
        (json!({}), "is empty"),
        (json!({"X": "1"}), "is empty"),
        (json!({"S": "a", "N": "1"}), "more than one datatypes"),
        (json!({"N": "one"}), "cannot be converted to a numeric value: one"),
        (json!({"NULL": false}), "must have the value of true"),
        (json!({"SS": []}), "may not be empty"),
        (json!({"SS": ["a", "a"]}), "contains duplicates"),
        (json!({"NS": ["1", "1.0"]}), "contains duplicates"),
        (json!({"L": [{"M": {"a": {}}}]}), "is empty"),
        (nested(33), "Nesting Levels"),
    ] {
        let message = read(&value).unwrap_err();
        assert!(message.contains(words), "{value}: {message}");
    }
}

#[test]
fn sizes_are_the_services() {
    for (value, size) in [
        (json!({"S": "añ"}), 3),
        (json!({"N": "12"}), 2),
        (json!({"B": "AAEC"}), 3),
        (json!({"NULL": true}), 1),
        (json!({"BOOL": true}), 1),
        (json!({"L": []}), 3),
        (json!({"L": [{"S": "ab"}]}), 6),
        (json!({"M": {"key": {"S": "ab"}}}), 9),
        (json!({"SS": ["a", "bc"]}), 3),
    ] {
        assert_eq!(read(&value).unwrap().size(), size, "{value}");
    }
}
