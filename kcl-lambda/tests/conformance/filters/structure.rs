//! Fields, lists and alternatives.

use kcl_lambda::filter::{FilterOptions, FilterVerdict};

use super::{
    super::{
        Evidence::{Community, Documented, OurChoice},
        Row, SAME,
    },
    row, whole,
};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            "alternatives",
            "one of a list must match",
            Documented,
            SAME,
            (
                r#"{"a":["x",{"prefix":"y"},7]}"#,
                &[r#"{"a":"x"}"#, r#"{"a":"yy"}"#, r#"{"a":7}"#],
                &[r#"{"a":"z"}"#],
            ),
        ),
        row(
            "fields",
            "all must match",
            Documented,
            SAME,
            (
                r#"{"a":["x"],"b":[1]}"#,
                &[r#"{"a":"x","b":1}"#],
                &[r#"{"a":"x"}"#, r#"{"b":1}"#],
            ),
        ),
        row(
            "nested objects",
            "walked by their names",
            Documented,
            SAME,
            (
                r#"{"a":{"b":{"c":[1]}}}"#,
                &[r#"{"a":{"b":{"c":1}}}"#],
                &[r#"{"a":{"b":1}}"#, r#"{"a":{"c":1}}"#],
            ),
        ),
        row(
            "`$or`",
            "one of its objects must match, beside the other fields",
            Community,
            SAME,
            (
                r#"{"z":[0],"$or":[{"a":["x"]},{"b":{"c":[1]}}]}"#,
                &[r#"{"z":0,"a":"x"}"#, r#"{"z":0,"b":{"c":1}}"#],
                &[r#"{"a":"x"}"#, r#"{"z":0,"a":"y"}"#, r#"{"z":0}"#],
            ),
        ),
        row(
            "a list in the record",
            "one element must match",
            Community,
            SAME,
            (
                r#"{"a":["x"]}"#,
                &[r#"{"a":["y","x"]}"#],
                &[r#"{"a":["y"]}"#, r#"{"a":[]}"#],
            ),
        ),
        row(
            "`anything-but` on a list",
            "one element must be another",
            Community,
            SAME,
            (
                r#"{"a":[{"anything-but":["x"]}]}"#,
                &[r#"{"a":["x","y"]}"#],
                &[r#"{"a":["x"]}"#, r#"{"a":[]}"#],
            ),
        ),
        row(
            "two fields in a list of objects",
            "both in the same element",
            Community,
            SAME,
            (
                r#"{"a":{"x":[1],"y":[2]}}"#,
                &[r#"{"a":[{"x":1},{"x":1,"y":2}]}"#],
                &[r#"{"a":[{"x":1},{"y":2}]}"#],
            ),
        ),
        row(
            "a missing field in a list of objects",
            "not known",
            OurChoice,
            "missing from the element that the other fields match",
            (
                r#"{"a":{"x":[1],"y":[{"exists":false}]}}"#,
                &[r#"{"a":[{"x":1},{"y":2}]}"#],
                &[r#"{"a":[{"x":1,"y":2}]}"#],
            ),
        ),
        row(
            "lists in lists",
            "not known",
            OurChoice,
            "the elements of all count",
            (r#"{"a":["x"]}"#, &[r#"{"a":[["y"],[["x"]]]}"#], &[r#"{"a":[["y"]]}"#]),
        ),
        row(
            "a field twice in the data",
            "not known",
            OurChoice,
            "the last one counts",
            (r#"{"a":[2]}"#, &[r#"{"a":1,"a":2}"#], &[r#"{"a":2,"a":1}"#]),
        ),
        whole(
            "several filters",
            "one must match",
            Documented,
            SAME,
            (
                &[r#"{"data":{"a":[1]}}"#, r#"{"data":{"a":[2]}}"#],
                FilterOptions::default(),
                r#"{"a":2}"#,
                FilterVerdict::Kept,
            ),
        ),
        whole(
            "no filters",
            "every record is kept, whatever its data",
            Documented,
            SAME,
            (&[], FilterOptions::default(), "no JSON", FilterVerdict::Kept),
        ),
    ]
}
