//! Data of all kinds, and what is refused when a mapping is made.

use kcl_lambda::filter::{FilterCriteria, FilterOptions, FilterVerdict, RecordFilter};

use super::{
    super::{
        Evidence::{Community, Documented, OurChoice},
        Row, SAME,
    },
    refused, whole,
};

pub(super) fn data() -> Vec<Row> {
    const WITH_METADATA: FilterOptions = FilterOptions {
        metadata: true,
        filters_max: 5,
    };
    let unparseable = "dropped, and counted apart";
    vec![
        whole(
            "data that is no JSON",
            "dropped without a word",
            Documented,
            unparseable,
            (
                &[r#"{"data":{"a":[{"exists":false}]}}"#],
                FilterOptions::default(),
                "no JSON",
                FilterVerdict::Unparseable,
            ),
        ),
        whole(
            "empty data",
            "dropped without a word",
            Documented,
            unparseable,
            (
                &[r#"{"data":{"a":[1]}}"#],
                FilterOptions::default(),
                "",
                FilterVerdict::Unparseable,
            ),
        ),
        whole(
            "broken behind the match",
            "not known",
            OurChoice,
            unparseable,
            (
                &[r#"{"data":{"a":[1]}}"#],
                FilterOptions::default(),
                r#"{"a":1,"b":}"#,
                FilterVerdict::Unparseable,
            ),
        ),
        whole(
            "data that is a number",
            "not known",
            OurChoice,
            "dropped: what has no fields matches no object, not even by what is missing",
            (
                &[r#"{"data":{"a":[{"exists":false}]}}"#],
                FilterOptions::default(),
                "7",
                FilterVerdict::Filtered,
            ),
        ),
        whole(
            "data that is a list",
            "not known",
            OurChoice,
            "dropped: what has no fields matches no object, not even by what is missing",
            (
                &[r#"{"data":{"a":[1]}}"#],
                FilterOptions::default(),
                r#"[{"a":1}]"#,
                FilterVerdict::Filtered,
            ),
        ),
        whole(
            "no JSON, and a filter without data",
            "the filter applies",
            Documented,
            "the same, with `FilterByMetadata`",
            (
                &[r#"{"data":{"a":[1]}}"#, r#"{"partitionKey":["key-7"]}"#],
                WITH_METADATA,
                "no JSON",
                FilterVerdict::Kept,
            ),
        ),
        whole(
            "metadata",
            "older pages allow it, newer ones do not",
            Documented,
            "with `FilterByMetadata`, by the names that events have",
            (
                &[
                    r#"{"partitionKey":[{"prefix":"key-"}],"sequenceNumber":["7"],"approximateArrivalTimestamp":[{"numeric":["<",2]}]}"#,
                ],
                WITH_METADATA,
                "no JSON",
                FilterVerdict::Kept,
            ),
        ),
    ]
}

pub(super) fn refusals() -> Vec<Row> {
    vec![
        refused(
            "a pattern that is no JSON",
            "refused when the mapping is made",
            Documented,
            SAME,
            &["", "x", "{"],
        ),
        refused(
            "a pattern of data that is no object",
            "refused when the mapping is made",
            Documented,
            SAME,
            &[r#"{"data":["x"]}"#, r#"{"data":"x"}"#],
        ),
        refused(
            "empty patterns",
            "refused",
            Community,
            SAME,
            &["{}", r#"{"data":{}}"#, r#"{"data":{"a":[]}}"#],
        ),
        refused(
            "values outside of a list",
            "refused",
            Community,
            SAME,
            &[r#"{"data":{"a":1}}"#],
        ),
        refused(
            "operators of event buses",
            "nested `anything-but` is for event buses only; `wildcard` and `cidr` are in no list of Lambda's",
            Documented,
            "refused by their names",
            &[
                r#"{"data":{"a":[{"anything-but":{"prefix":"x"}}]}}"#,
                r#"{"data":{"a":[{"wildcard":"*"}]}}"#,
                r#"{"data":{"a":[{"cidr":"10.0.0.0/8"}]}}"#,
            ],
        ),
        refused(
            "`$or` of one",
            "needs two",
            Community,
            SAME,
            &[r#"{"data":{"$or":[{"a":[1]}]}}"#],
        ),
        refused(
            "a range from above",
            "refused",
            Community,
            SAME,
            &[
                r#"{"data":{"a":[{"numeric":["<",5,">",1]}]}}"#,
                r#"{"data":{"a":[{"numeric":[">",5,"<",1]}]}}"#,
            ],
        ),
        refused(
            "fields that no record has",
            "not known",
            OurChoice,
            "refused: such a pattern would match nothing",
            &[r#"{"temperature":[1]}"#],
        ),
        refused(
            "metadata without the extension",
            "newer pages say that only data is for filters",
            Documented,
            "refused, with the setting that allows it",
            &[r#"{"partitionKey":["a"]}"#],
        ),
        refused(
            "a field twice in a pattern",
            "not known",
            OurChoice,
            "refused: one of them would not count",
            &[r#"{"data":{"a":[1],"a":[2]}}"#],
        ),
        Row {
            name: "quotas",
            aws: "5 filters, 10 on request, of 4,096 characters",
            evidence: Documented,
            ours: "the same, with `FilterQuota`",
            check: Box::new(|| {
                let many = |count: usize, filters_max| {
                    let options = FilterOptions {
                        filters_max,
                        ..FilterOptions::default()
                    };
                    RecordFilter::new(
                        &FilterCriteria::of_patterns(vec![r#"{"data":{"a":[1]}}"#; count]),
                        options,
                    )
                    .is_ok()
                };
                assert!(many(5, 5) && !many(6, 5) && many(10, 10) && !many(11, 10));
                let long = format!(r#"{{"data":{{"a":["{}"]}}}}"#, "x".repeat(4096));
                assert!(RecordFilter::new(&FilterCriteria::of_patterns([long]), FilterOptions::default()).is_err());
            }),
        },
    ]
}
