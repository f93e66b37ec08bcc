mod properties;

use serde_json::{Value, json};

use super::*;
use crate::dynamodb::{
    item::Item,
    value::{RawItem, checked},
};

fn item(value: &Value) -> Item {
    checked(serde_json::from_value::<RawItem>(value.clone()).unwrap()).unwrap()
}

fn placeholders(names: &Value, values: &Value) -> Placeholders {
    let there = |value: &Value| (!value.is_null()).then(|| value.clone());
    Placeholders::new(
        there(names).map(|names| serde_json::from_value(names).unwrap()),
        there(values).map(|values| serde_json::from_value(values).unwrap()),
    )
    .unwrap()
}

/// Whether `item` meets the condition, or what is wrong with the condition.
fn holds(text: &str, names: &Value, values: &Value, of: &Value) -> Result<bool, String> {
    let mut placeholders = placeholders(names, values);
    let condition = placeholders.condition(Purpose::Condition, Some(text));
    let condition = condition.map_err(|error| error.message().to_owned())?.unwrap();
    placeholders.finish().map_err(|error| error.message().to_owned())?;
    Ok(condition.holds(&item(of)))
}

/// What an update makes of `item`, or what is wrong with it.
fn updated(text: &str, values: &Value, of: &Value) -> Result<Value, String> {
    let mut placeholders = placeholders(&Value::Null, values);
    let message = |error: crate::dynamodb::DynamoError| error.message().to_owned();
    let update = placeholders.update(Some(text)).map_err(message)?.unwrap();
    placeholders.finish().map_err(message)?;
    let mut item = item(of);
    update.apply(&mut item, true).map_err(message)?;
    Ok(json!(item))
}

fn projected(text: &str, of: &Value) -> Result<Value, String> {
    let mut placeholders = placeholders(&Value::Null, &Value::Null);
    let message = |error: crate::dynamodb::DynamoError| error.message().to_owned();
    let projection = placeholders.projection(Some(text)).map_err(message)?.unwrap();
    Ok(json!(projection.apply(&item(of))))
}

/// The values that an expression uses, of which requests must not have others.
fn used_in(text: &str, values: &Value) -> Value {
    let ends = |at: usize| text[at..].chars().next().is_none_or(|c| !c.is_ascii_alphanumeric());
    let used = |name: &str| text.match_indices(name).any(|(at, _)| ends(at + name.len()));
    let used: serde_json::Map<_, _> = values
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| used(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if used.is_empty() {
        Value::Null
    } else {
        Value::from(used)
    }
}

#[test]
fn conditions_mean_what_they_say() {
    let of = json!({
        "s": {"S": "middle"}, "n": {"N": "5"}, "b": {"B": "AAEC"}, "t": {"BOOL": true}, "nil": {"NULL": true},
        "ss": {"SS": ["x", "y"]}, "l": {"L": [{"N": "1"}, {"M": {"deep": {"S": "v"}}}]},
        "m": {"M": {"leaf": {"N": "7"}}},
    });
    let values = json!({
        ":s": {"S": "middle"}, ":a": {"S": "a"}, ":z": {"S": "z"}, ":five": {"N": "5.0"}, ":six": {"N": "6"},
        ":b": {"B": "AAEC"}, ":t": {"BOOL": true}, ":x": {"S": "x"}, ":one": {"N": "1"}, ":v": {"S": "v"},
        ":seven": {"N": "7"}, ":S": {"S": "S"}, ":L": {"S": "L"}, ":mid": {"S": "mid"}, ":dd": {"S": "dd"},
        ":ss": {"SS": ["y", "x"]}, ":nil": {"NULL": true}, ":two": {"N": "2"}, ":AA": {"B": "AAE="},
    });
    for (text, expected) in [
        ("s = :s", true),
        ("s <> :s", false),
        (":s = s", true),
        ("s < :z AND s > :a", true),
        ("n = :five", true),
        ("n < :six and n <= :five and n >= :five", true),
        ("n > :a", false),
        ("n = :s", false),
        ("n <> :s", true),
        ("b = :b and t = :t and nil = :nil and ss = :ss", true),
        ("b > :AA", true),
        ("absent = :s", false),
        ("absent <> :s", true),
        ("absent < :six", false),
        ("NOT absent = :s", true),
        ("absent <> gone", true),
        ("absent = gone", false),
        ("n BETWEEN :one AND :six", true),
        ("n between :six and :six", false),
        ("n BETWEEN :one AND :six AND s = :s", true),
        ("absent BETWEEN :one AND :six", false),
        ("s IN (:a, :z)", false),
        ("s in (:a,:s)", true),
        ("absent IN (:a)", false),
        ("attribute_exists(s)", true),
        ("attribute_exists (l[1].deep)", true),
        ("attribute_exists(l[2])", false),
        ("attribute_not_exists(absent)", true),
        ("attribute_not_exists(s)", false),
        ("attribute_type(s, :S)", true),
        ("attribute_type(l, :L)", true),
        ("attribute_type(n, :L)", false),
        ("begins_with(s, :mid)", true),
        ("begins_with(b, :AA)", true),
        ("begins_with(n, :mid)", false),
        ("contains(s, :dd)", true),
        ("contains(ss, :x)", true),
        ("contains(ss, :a)", false),
        ("contains(l, :one)", true),
        ("contains(n, :one)", false),
        ("size(s) = :six", true),
        ("size(:s) = size(s)", true),
        ("size(ss) = size(l) and size(m) = :one", true),
        ("size(b) > :two", true),
        ("size(n) <> :one", true),
        ("size(absent) = :one", false),
        ("l[0] = :one and l[1].deep = :v and m.leaf = :seven", true),
        ("(s = :a)", false),
        ("(s) = (:s)", true),
    ] {
        let used = used_in(text, &values);
        assert_eq!(holds(text, &Value::Null, &used, &of), Ok(expected), "{text}");
    }
}

#[test]
fn not_binds_tighter_than_and_and_and_tighter_than_or() {
    let values = json!({":t": {"N": "1"}, ":f": {"N": "0"}});
    let of = json!({"x": {"N": "1"}});
    for (text, expected) in [
        ("x = :t OR x = :t AND x = :f", true),
        ("(x = :t OR x = :t) AND x = :f", false),
        ("NOT x = :f AND x = :f", false),
        ("NOT (x = :f AND x = :t)", true),
        ("NOT NOT x = :t AND NOT x = :f", true),
        ("x = :f AND x = :f OR x = :t", true),
    ] {
        let used = used_in(text, &values);
        assert_eq!(holds(text, &Value::Null, &used, &of), Ok(expected), "{text}");
    }
}

#[test]
fn the_conditions_of_known_clients_are_read() {
    let lock = json!({"leaseKey": {"S": "k"}, "recordVersionNumber": {"S": "r"}, "isReleased": {"S": "1"}});
    let names = json!({"#pk": "leaseKey", "#rvn": "recordVersionNumber", "#ir": "isReleased"});
    let values = json!({":rvn": {"S": "r"}, ":ir": {"S": "1"}});
    let text = "(attribute_exists(#pk) AND #rvn = :rvn AND #ir = :ir)";
    assert_eq!(holds(text, &names, &values, &lock), Ok(true));
    assert_eq!(
        holds(
            "attribute_exists(#pk) AND #rvn = :rvn AND #ir = :ir",
            &names,
            &values,
            &json!({})
        ),
        Ok(false)
    );

    let worker = json!({"wid": {"S": "w"}});
    let text = "#key = :value AND attribute_exists (wid)";
    assert_eq!(
        holds(text, &json!({"#key": "wid"}), &json!({":value": {"S": "w"}}), &worker),
        Ok(true)
    );

    let claim = json!({"AssignedTo": {"S": "me"}});
    let text = "attribute_not_exists(ClaimRequest)AND AssignedTo = :a";
    assert_eq!(holds(text, &Value::Null, &json!({":a": {"S": "me"}}), &claim), Ok(true));

    let text = "attribute_not_exists(leaseOwner) OR leaseOwner = :last_owner";
    let null = json!({":last_owner": {"NULL": true}});
    assert_eq!(holds(text, &Value::Null, &null, &json!({})), Ok(true));
    assert_eq!(
        holds(text, &Value::Null, &null, &json!({"leaseOwner": {"S": "w"}})),
        Ok(false)
    );

    let text = "checkpoint <> :SHARD_END AND ((checkpoint IN (:LATEST, :TRIM_HORIZON)) OR (size(checkpoint) < \
                size(:sequence_number) OR size(checkpoint) = size(:sequence_number) AND checkpoint < :sequence_number) OR \
                (checkpoint = :sequence_number AND checkpointSubSequenceNumber > :sub))";
    let values = json!({
        ":SHARD_END": {"S": "SHARD_END"}, ":LATEST": {"S": "LATEST"}, ":TRIM_HORIZON": {"S": "TRIM_HORIZON"},
        ":sequence_number": {"S": "100"}, ":sub": {"N": "0"},
    });
    for (checkpoint, sub, expected) in [
        ("SHARD_END", "0", false),
        ("LATEST", "0", true),
        ("99", "0", true),
        ("100", "0", false),
        ("100", "1", true),
        ("101", "1", false),
        ("1000", "1", false),
    ] {
        let lease = json!({"checkpoint": {"S": checkpoint}, "checkpointSubSequenceNumber": {"N": sub}});
        assert_eq!(holds(text, &Value::Null, &values, &lease), Ok(expected), "{checkpoint}");
    }
}

#[test]
fn what_is_wrong_with_a_condition_is_told_in_the_services_words() {
    let v = json!({":v": {"N": "1"}});
    let two = json!({":v": {"N": "1"}, ":w": {"S": "a"}});
    let map = json!({":v": {"M": {}}});
    let none = Value::Null;
    for (text, values, words) in [
        ("", &none, "The expression can not be empty;"),
        ("  ", &none, "The expression can not be empty;"),
        ("a =", &none, "Syntax error; token: \"<EOF>\", near: \"=\""),
        ("a = :v b", &v, "Syntax error; token: \"b\""),
        ("a = :v)", &v, "Syntax error; token: \")\""),
        ("(a = :v", &v, "Syntax error; token: \"<EOF>\""),
        ("a", &none, "Syntax error; token: \"<EOF>\""),
        ("a ? :v", &v, "Syntax error; token: \"?\", near: \"? :v\""),
        ("a = 5", &none, "Syntax error; token: \"5\""),
        ("a = : v", &v, "Syntax error; token: \":\""),
        ("((a = :v))", &v, "The expression has redundant parentheses;"),
        ("((a)) = :v", &v, "The expression has redundant parentheses;"),
        (
            "key = :v",
            &v,
            "Attribute name is a reserved keyword; reserved keyword: key",
        ),
        (
            "a.Status = :v",
            &v,
            "Attribute name is a reserved keyword; reserved keyword: Status",
        ),
        (
            "#a = :v",
            &v,
            "attribute name used in the document path is not defined; attribute name: #a",
        ),
        (
            "a = :w",
            &v,
            "attribute value used in expression is not defined; attribute value: :w",
        ),
        ("exists(a)", &none, "Invalid function name; function: exists"),
        (
            "attribute_exists(a, b)",
            &none,
            "Incorrect number of operands for operator or function",
        ),
        (
            "attribute_exists(:v)",
            &v,
            "requires a document path; operator or function: attribute_exists",
        ),
        (
            "begins_with(a, :v)",
            &v,
            "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
        ),
        ("a < :v", &map, "operator or function: <, operand type: M"),
        ("a BETWEEN :v AND :w", &two, "same data type for lower and upper bounds"),
        ("size(:v) = a", &v, "operator or function: size, operand type: N"),
        (
            "size(a)",
            &none,
            "The function is not allowed to be used this way in an expression; function: size",
        ),
        ("a = attribute_exists(b)", &none, "function: attribute_exists"),
        (
            "a = a",
            &none,
            "The first operand must be distinct from the remaining operands",
        ),
        (
            "attribute_type(a, :w)",
            &json!({":w": {"S": "X"}}),
            "Invalid attribute type name found; type: X",
        ),
        (
            "a[99999999999999999999999] = :v",
            &v,
            "List index is not within the allowable range",
        ),
        ("attribute_exists(a)", &v, "unused in expressions: keys: {:v}"),
    ] {
        let message = holds(text, &Value::Null, values, &json!({})).unwrap_err();
        assert!(message.contains(words), "{text}: {message}");
    }
    let message = holds("(key = :v", &none, &v, &json!({})).unwrap_err();
    assert!(message.starts_with("Invalid ConditionExpression: "), "{message}");
}

#[test]
fn expressions_have_a_largest_size_and_depth() {
    let values = json!({":v": {"N": "1"}});
    let message = |text: &str| holds(text, &Value::Null, &values, &json!({})).unwrap_err();
    let long = format!("a = :v{}", " ".repeat(4096));
    assert!(message(&long).contains("expression size: 4102"), "{}", message(&long));
    for deep in ["NOT ".repeat(900), "(".repeat(3000), "size(".repeat(700)] {
        assert!(
            message(&deep).contains("nested deeper than 64 levels"),
            "{}",
            message(&deep)
        );
    }
    let wide = vec!["a=:v"; 450].join(" or ");
    assert_eq!(holds(&wide, &Value::Null, &values, &json!({})), Ok(false));
    let path = vec!["a"; 34].join(".");
    assert!(message(&format!("{path} = :v")).contains("too many nesting elements"));
}

#[test]
fn updates_do_what_they_say() {
    let of = json!({
        "k": {"S": "key"}, "n": {"N": "5"}, "s": {"SS": ["a", "b"]}, "l": {"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}]},
        "m": {"M": {"x": {"N": "1"}, "y": {"N": "2"}}},
    });
    let one = json!({":v": {"N": "1"}});
    for (text, values, changed) in [
        ("SET z = :v", &one, json!({"z": {"N": "1"}})),
        ("set n=:v", &one, json!({"n": {"N": "1"}})),
        ("SET n = n + :v", &one, json!({"n": {"N": "6"}})),
        ("SET n = n - :v", &one, json!({"n": {"N": "4"}})),
        ("SET n = (:v - n)", &one, json!({"n": {"N": "-4"}})),
        ("SET z = if_not_exists(z, :v) + :v", &one, json!({"z": {"N": "2"}})),
        ("SET n = if_not_exists(n, :v)", &one, json!({})),
        ("SET z = k", &Value::Null, json!({"z": {"S": "key"}})),
        (
            "SET m.x = :v, m.z = n",
            &one,
            json!({"m": {"M": {"x": {"N": "1"}, "y": {"N": "2"}, "z": {"N": "5"}}}}),
        ),
        (
            "SET l[1] = :v, l[9] = n",
            &one,
            json!({"l": {"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}, {"N": "5"}]}}),
        ),
        (
            "SET l[8] = n, l[7] = :v",
            &one,
            json!({"l": {"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}, {"N": "1"}, {"N": "5"}]}}),
        ),
        (
            "SET l = list_append(:v, l)",
            &json!({":v": {"L": [{"S": "x"}]}}),
            json!({"l": {"L": [{"S": "x"}, {"N": "0"}, {"N": "1"}, {"N": "2"}]}}),
        ),
        ("REMOVE l[0], l[1]", &Value::Null, json!({"l": {"L": [{"N": "2"}]}})),
        (
            "REMOVE l[0] SET l[2] = :v",
            &one,
            json!({"l": {"L": [{"N": "1"}, {"N": "1"}]}}),
        ),
        ("REMOVE l[5], absent", &Value::Null, json!({})),
        ("remove n", &Value::Null, json!({"n": null})),
        ("REMOVE m.x", &Value::Null, json!({"m": {"M": {"y": {"N": "2"}}}})),
        ("ADD n :v, z :v", &one, json!({"n": {"N": "6"}, "z": {"N": "1"}})),
        (
            "ADD m.x :v",
            &one,
            json!({"m": {"M": {"x": {"N": "2"}, "y": {"N": "2"}}}}),
        ),
        (
            "ADD s :v",
            &json!({":v": {"SS": ["b", "c"]}}),
            json!({"s": {"SS": ["a", "b", "c"]}}),
        ),
        (
            "DELETE s :v",
            &json!({":v": {"SS": ["b", "c"]}}),
            json!({"s": {"SS": ["a"]}}),
        ),
        ("DELETE s :v", &json!({":v": {"SS": ["a", "b"]}}), json!({"s": null})),
        ("DELETE z :v", &json!({":v": {"SS": ["a"]}}), json!({})),
        (
            "SET a = :v, b = n REMOVE k \n ADD n :v",
            &one,
            json!({"a": {"N": "1"}, "b": {"N": "5"}, "k": null, "n": {"N": "6"}}),
        ),
    ] {
        let mut expected = of.as_object().unwrap().clone();
        for (name, value) in changed.as_object().unwrap() {
            match value {
                Value::Null => expected.remove(name),
                value => expected.insert(name.clone(), value.clone()),
            };
        }
        assert_eq!(updated(text, values, &of), Ok(Value::from(expected)), "{text}");
    }
}

#[test]
fn what_is_wrong_with_an_update_is_told_in_the_services_words() {
    let of = json!({"s": {"S": "x"}, "m": {"M": {}}, "n": {"N": "99999999999999999999999999999999999999"}});
    let v = json!({":v": {"N": "1.5"}});
    let text_value = json!({":v": {"S": "1"}});
    let none = Value::Null;
    for (text, values, words) in [
        ("", &none, "Invalid UpdateExpression: The expression can not be empty;"),
        (
            "SET a = :v SET b = :v",
            &v,
            "The \"SET\" section can only be used once in an update expression;",
        ),
        ("SET a = :v, a.b = :v", &v, "Two document paths overlap with each other"),
        (
            "SET a.b = :v REMOVE a[0]",
            &v,
            "Two document paths conflict with each other",
        ),
        ("PUT a = :v", &v, "Syntax error; token: \"PUT\""),
        ("SET a :v", &v, "Syntax error; token: \":v\""),
        ("SET a = b + c + :v", &v, "Syntax error; token: \"+\""),
        ("REMOVE a,", &none, "Syntax error; token: \"<EOF>\""),
        ("ADD a :v", &text_value, "operator: ADD, operand type: STRING"),
        ("DELETE a :v", &v, "operator: DELETE, operand type: NUMBER"),
        ("SET a = size(s)", &none, "Invalid function name; function: size"),
        (
            "SET a = list_append(b, :v)",
            &v,
            "operator or function: list_append, operand type: N",
        ),
        ("SET a = if_not_exists(:v, :v)", &v, "requires a document path"),
        (
            "SET a = absent",
            &none,
            "refers to an attribute that does not exist in the item",
        ),
        (
            "SET a = s + :v",
            &v,
            "An operand in the update expression has an incorrect data type",
        ),
        (
            "ADD s :v",
            &v,
            "An operand in the update expression has an incorrect data type",
        ),
        (
            "SET a.b = :v",
            &v,
            "The document path provided in the update expression is invalid for update",
        ),
        (
            "SET s.b = :v",
            &v,
            "The document path provided in the update expression is invalid for update",
        ),
        (
            "SET m[0] = :v",
            &v,
            "The document path provided in the update expression is invalid for update",
        ),
        ("ADD n :v", &v, "more than 38 significant digits"),
    ] {
        let message = updated(text, values, &of).unwrap_err();
        assert!(message.contains(words), "{text}: {message}");
    }
}

#[test]
fn projections_show_parts_and_close_gaps_in_lists() {
    let of = json!({
        "a": {"S": "x"}, "m": {"M": {"p": {"N": "1"}, "q": {"M": {"r": {"N": "2"}, "s": {"N": "3"}}}}},
        "l": {"L": [{"S": "0"}, {"S": "1"}, {"M": {"p": {"N": "4"}, "q": {"N": "5"}}}]},
    });
    for (text, expected) in [
        ("a", json!({"a": {"S": "x"}})),
        ("absent, a", json!({"a": {"S": "x"}})),
        (
            "m.q.r , m.p",
            json!({"m": {"M": {"p": {"N": "1"}, "q": {"M": {"r": {"N": "2"}}}}}}),
        ),
        (
            "l[2].p, l[0]",
            json!({"l": {"L": [{"S": "0"}, {"M": {"p": {"N": "4"}}}]}}),
        ),
        ("l[7], m.gone.p", json!({})),
    ] {
        assert_eq!(projected(text, &of), Ok(expected), "{text}");
    }
    for text in ["a, a", "m, m.p", "l[0], l[0].p"] {
        assert!(projected(text, &of).unwrap_err().contains("overlap"), "{text}");
    }
    assert!(
        projected("a b", &of)
            .unwrap_err()
            .contains("Invalid ProjectionExpression: Syntax error")
    );
}
