use kcl_core::Timestamp;

use super::*;

const ITEMS: ResponseRules = ResponseRules {
    item_failures: true,
    window_state: false,
    strict: false,
};
const WINDOW: ResponseRules = ResponseRules {
    item_failures: true,
    window_state: true,
    strict: false,
};

/// The second has more digits than the first, so that text would order them the other way.
fn batch() -> Vec<Record> {
    let record = |number: &str| Record::new(number.parse().unwrap(), "k", Timestamp::from_epoch_millis(0), "d");
    vec![record("99"), record("100"), record("101")]
}

fn verdict(payload: &str, rules: ResponseRules) -> ResponseVerdict {
    ResponseVerdict::of(payload.as_bytes(), &batch(), rules)
}

#[test]
fn given_numbers_of_different_length_when_items_failed_then_the_lowest_by_number_comes_first() {
    let payload = r#"{"batchItemFailures":[{"itemIdentifier":"100"},{"itemIdentifier":"99"},{"itemIdentifier":"99"}]}"#;
    let ResponseVerdict::Failed { failed, state: None } = verdict(payload, ITEMS) else {
        panic!("{:?}", verdict(payload, ITEMS));
    };
    assert_eq!((failed.first(), failed.indexes()), (0, [0, 1].as_slice()));
}

#[test]
fn given_records_of_one_aggregate_when_their_number_failed_then_all_failed_and_a_place_names_one() {
    let mut records = batch();
    for sub in 0..3 {
        let mut record = records[1].clone();
        record.sub_sequence_number = sub;
        record.aggregated = true;
        records.insert(1 + usize::try_from(sub).unwrap(), record);
    }
    records.remove(4);
    let failed = |identifier: &str| {
        let payload = format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{identifier}"}}]}}"#);
        match ResponseVerdict::of(payload.as_bytes(), &records, ITEMS) {
            ResponseVerdict::Failed { failed, .. } => failed.indexes,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(failed("100"), [1, 2, 3]);
    assert_eq!(failed("100/2"), [3]);
    assert_eq!(failed("100/0"), [1]);
    let unknown = ResponseVerdict::of(
        br#"{"batchItemFailures":[{"itemIdentifier":"100/3"}]}"#,
        &records,
        ITEMS,
    );
    assert!(matches!(
        unknown,
        ResponseVerdict::Invalid(InvalidResponse::UnknownItem { .. })
    ));
}

#[test]
fn given_a_window_when_answered_then_the_state_is_kept_byte_for_byte() {
    let payload = r#"{"state": {"n":1.0, "big":123456789012345678901234567890 }, "batchItemFailures":[]}"#;
    let ResponseVerdict::AllHandled { state: Some(state) } = verdict(payload, WINDOW) else {
        panic!("{:?}", verdict(payload, WINDOW));
    };
    assert_eq!(state.as_json(), r#"{"n":1.0, "big":123456789012345678901234567890 }"#);
    assert_eq!(serde_json::to_string(&state).unwrap(), state.as_json());
    assert_eq!(format!("{state:?}"), "WindowState(48 bytes)");
}

#[test]
fn given_a_window_when_the_state_is_missing_or_no_object_then_the_batch_failed() {
    use InvalidResponse as I;
    for payload in ["{}", "null", "", r#"{"batchItemFailures":[]}"#] {
        assert_eq!(
            verdict(payload, WINDOW),
            ResponseVerdict::Invalid(I::NoState),
            "{payload}"
        );
    }
    for (payload, found) in [
        (r#"{"state":null}"#, "null"),
        (r#"{"state":"{}"}"#, "text"),
        (r#"{"state":[]}"#, "a list"),
        (r#"{"state":7}"#, "a number"),
        (r#"{"state":true}"#, "a boolean"),
    ] {
        assert_eq!(
            verdict(payload, WINDOW),
            ResponseVerdict::Invalid(I::StateIsNoObject { found }),
            "{payload}"
        );
    }
}

#[test]
fn given_states_around_a_megabyte_when_answered_then_only_the_larger_is_too_large() {
    for (bytes, too_large) in [(WINDOW_STATE_BYTES_MAX, false), (WINDOW_STATE_BYTES_MAX + 1, true)] {
        let state = format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
        assert_eq!(state.len(), bytes);
        assert_eq!(WindowState::new(&state).unwrap().is_too_large(), too_large);
    }
}

#[test]
fn given_strict_rules_when_the_key_is_misspelt_then_the_batch_failed_and_an_empty_answer_did_not() {
    let strict = ResponseRules { strict: true, ..ITEMS };
    let misspelt = r#"{"batchItemFailure":[{"itemIdentifier":"100"}]}"#;
    assert_eq!(verdict(misspelt, ITEMS), ResponseVerdict::AllHandled { state: None });
    assert_eq!(
        verdict(misspelt, strict),
        ResponseVerdict::Invalid(InvalidResponse::NoList)
    );
    for nothing in ["null", "{ }", "", r#""""#, "[\n]"] {
        assert_eq!(
            verdict(nothing, strict),
            ResponseVerdict::AllHandled { state: None },
            "{nothing}"
        );
    }
}

#[test]
fn given_an_unbounded_identifier_when_it_is_unknown_then_the_error_has_a_bounded_text() {
    let payload = format!(
        r#"{{"batchItemFailures":[{{"itemIdentifier":"{}"}}]}}"#,
        "ü".repeat(10_000)
    );
    let ResponseVerdict::Invalid(InvalidResponse::UnknownItem { item: 0, identifier }) = verdict(&payload, ITEMS)
    else {
        panic!("{:?}", verdict(&payload, ITEMS));
    };
    assert_eq!(identifier.chars().count(), 200);
}

#[test]
fn given_any_bytes_when_read_then_there_is_a_verdict() {
    let deep = "[".repeat(100_000);
    let deep_list = format!(r#"{{"batchItemFailures":{deep}"#);
    for payload in [
        b"\xff\xfe".as_slice(),
        b"{",
        b"{\"batchItemFailures\":",
        b"nul",
        deep.as_bytes(),
        deep_list.as_bytes(),
    ] {
        let verdict = ResponseVerdict::of(payload, &batch(), ITEMS);
        assert!(
            matches!(verdict, ResponseVerdict::Invalid(InvalidResponse::NotJson { .. })),
            "{verdict:?}"
        );
    }
}
