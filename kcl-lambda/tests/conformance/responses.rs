//! Responses of functions.

use kcl_core::{Record, Timestamp};
use kcl_lambda::{ResponseRules, ResponseVerdict};

use super::{
    Evidence::{self, Community, Documented, Observed, OurChoice},
    Row, SAME, check,
};

/// What becomes of a batch of the records 99, 100 and 101.
#[derive(Debug, PartialEq)]
enum Fate {
    Success,
    /// The first failed one.
    From(usize),
    Failure,
}
use Fate::{Failure, From, Success};

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
const OFF: ResponseRules = ResponseRules {
    item_failures: false,
    window_state: false,
    strict: false,
};

fn fate(payload: &[u8], rules: ResponseRules) -> Fate {
    let record = |number: &str| Record::new(number.parse().unwrap(), "k", Timestamp::from_epoch_millis(0), "d");
    let batch = [record("99"), record("100"), record("101")];
    match ResponseVerdict::of(payload, &batch, rules) {
        ResponseVerdict::AllHandled { .. } => Success,
        ResponseVerdict::Failed { failed, .. } => From(failed.first()),
        ResponseVerdict::Invalid(_) => Failure,
    }
}

pub(super) fn rows() -> Vec<Row> {
    const SUCCESS: &str = "the batch is handled";
    const FAILURE: &str = "the whole batch has failed";
    const UNKNOWN: &str = "not known";
    type Line = (&'static str, &'static str, ResponseRules, Fate, &'static str, Evidence);
    let lines: Vec<Line> = vec![
        ("`null`", "null", ITEMS, Success, SUCCESS, Observed),
        ("empty text", r#""""#, ITEMS, Success, SUCCESS, Observed),
        ("empty list", "[]", ITEMS, Success, SUCCESS, Observed),
        ("empty object", "{}", ITEMS, Success, SUCCESS, Observed),
        (
            "no failures",
            r#"{"batchItemFailures":[]}"#,
            ITEMS,
            Success,
            SUCCESS,
            Observed,
        ),
        (
            "failures are null",
            r#"{"batchItemFailures":null}"#,
            ITEMS,
            Success,
            SUCCESS,
            Observed,
        ),
        ("no byte at all", "", ITEMS, Success, UNKNOWN, OurChoice),
        (
            "one item",
            r#"{"batchItemFailures":[{"itemIdentifier":"100"}]}"#,
            ITEMS,
            From(1),
            "the records before it are handled, it and those behind it come again",
            Documented,
        ),
        (
            "several items",
            r#"{"batchItemFailures":[{"itemIdentifier":"101"},{"itemIdentifier":"100"}]}"#,
            ITEMS,
            From(1),
            "the lowest number counts",
            Documented,
        ),
        (
            "numbers of different length",
            r#"{"batchItemFailures":[{"itemIdentifier":"100"},{"itemIdentifier":"99"}]}"#,
            ITEMS,
            From(0),
            "the lowest number counts, as a number",
            Documented,
        ),
        (
            "identifier is empty",
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            ITEMS,
            Failure,
            FAILURE,
            Observed,
        ),
        (
            "identifier is null",
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            ITEMS,
            Failure,
            FAILURE,
            Observed,
        ),
        (
            "identifier under another name",
            r#"{"batchItemFailures":[{"itemIdentifer":"100"}]}"#,
            ITEMS,
            Failure,
            FAILURE,
            Observed,
        ),
        (
            "identifier is not in the batch",
            r#"{"batchItemFailures":[{"itemIdentifier":"123"}]}"#,
            ITEMS,
            Failure,
            FAILURE,
            Observed,
        ),
        (
            "identifier is a number",
            r#"{"batchItemFailures":[{"itemIdentifier":123}]}"#,
            ITEMS,
            Failure,
            FAILURE,
            Observed,
        ),
        (
            "identifier is a number that is in the batch",
            r#"{"batchItemFailures":[{"itemIdentifier":100}]}"#,
            ITEMS,
            Failure,
            UNKNOWN,
            OurChoice,
        ),
        (
            "one item of several is wrong",
            r#"{"batchItemFailures":[{"itemIdentifier":"101"},{"itemIdentifier":""}]}"#,
            ITEMS,
            Failure,
            UNKNOWN,
            OurChoice,
        ),
        (
            "items are no objects",
            r#"{"batchItemFailures":["100"]}"#,
            ITEMS,
            Failure,
            UNKNOWN,
            OurChoice,
        ),
        (
            "failures are no list",
            r#"{"batchItemFailures":"100"}"#,
            ITEMS,
            Failure,
            UNKNOWN,
            OurChoice,
        ),
        (
            "another key",
            r#"{"failures":[{"itemIdentifier":"100"}]}"#,
            ITEMS,
            Success,
            "the batch is handled: failures are overlooked",
            Community,
        ),
        (
            "another key, with `StrictResponses`",
            r#"{"failures":[{"itemIdentifier":"100"}]}"#,
            ResponseRules { strict: true, ..ITEMS },
            Failure,
            "does not have it",
            OurChoice,
        ),
        (
            "a list with something in it",
            r#"[{"itemIdentifier":"100"}]"#,
            ITEMS,
            Failure,
            UNKNOWN,
            OurChoice,
        ),
        ("text", r#""ok""#, ITEMS, Failure, UNKNOWN, OurChoice),
        ("a boolean", "true", ITEMS, Failure, UNKNOWN, OurChoice),
        ("no JSON", "ok", ITEMS, Failure, UNKNOWN, OurChoice),
        (
            "anything, without `ReportBatchItemFailures`",
            r#"{"batchItemFailures":[{"itemIdentifier":"100"}]}"#,
            OFF,
            Success,
            "the response is not looked at",
            Documented,
        ),
        (
            "window: a state",
            r#"{"state":{"n":1}}"#,
            WINDOW,
            Success,
            SUCCESS,
            Documented,
        ),
        (
            "window: an empty state",
            r#"{"state":{}}"#,
            WINDOW,
            Success,
            SUCCESS,
            Documented,
        ),
        (
            "window: a state and failures",
            r#"{"state":{},"batchItemFailures":[{"itemIdentifier":"101"}]}"#,
            WINDOW,
            From(2),
            "failures count as without a window",
            Documented,
        ),
        (
            "window: no state",
            r#"{"batchItemFailures":[]}"#,
            WINDOW,
            Failure,
            FAILURE,
            Documented,
        ),
        ("window: `null`", "null", WINDOW, Failure, FAILURE, Documented),
        (
            "window: the state is no object",
            r#"{"state":"n"}"#,
            WINDOW,
            Failure,
            UNKNOWN,
            OurChoice,
        ),
        (
            "window: failures, without `ReportBatchItemFailures`",
            r#"{"state":{},"batchItemFailures":[{"itemIdentifier":"101"}]}"#,
            ResponseRules {
                item_failures: false,
                ..WINDOW
            },
            Success,
            UNKNOWN,
            OurChoice,
        ),
    ];
    let rows = lines
        .into_iter()
        .map(|(name, payload, rules, expected, aws, evidence)| Row {
            name,
            aws,
            evidence,
            ours: match (evidence, &expected) {
                (OurChoice, Success) => SUCCESS,
                (OurChoice, _) => FAILURE,
                _ => SAME,
            },
            check: Box::new(move || assert_eq!(fate(payload.as_bytes(), rules), expected)),
        });
    rows.collect()
}

#[test]
fn responses() {
    check(rows());
}
