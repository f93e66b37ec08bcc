use kcl_core::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn record(data: &str) -> Record {
    Record::new(
        "7".parse().unwrap(),
        "key-7",
        Timestamp::from_epoch_millis(1_500),
        data.to_owned(),
    )
}

fn filter(patterns: &[&str]) -> RecordFilter {
    RecordFilter::new(
        &FilterCriteria::of_patterns(patterns.iter().copied()),
        FilterOptions {
            metadata: true,
            filters_max: FILTERS_MAX,
        },
    )
    .unwrap()
}

fn problem(pattern: &str) -> (String, PatternProblem) {
    let criteria = FilterCriteria::of_patterns([r#"{"data":{"a":[1]}}"#, pattern]);
    match RecordFilter::new(&criteria, FilterOptions::default()) {
        Err(InvalidFilters::Pattern { filter: 1, source }) => (source.path().to_owned(), source.problem().clone()),
        other => panic!("{pattern}: {other:?}"),
    }
}

#[test]
fn given_a_broken_pattern_when_read_then_the_error_says_where_and_what() {
    use PatternProblem as P;
    let named = |name: &str| name.to_owned();
    let cases = [
        ("[]", "the top", P::NotAnObject),
        ("{}", "the top", P::Empty),
        (r#"{"data":{}}"#, "data", P::Empty),
        (r#"{"data":{"a":[]}}"#, "data.a", P::Empty),
        (r#"{"data":["x"]}"#, "data", P::DataIsNoObject),
        (r#"{"data":"x"}"#, "data", P::DataIsNoObject),
        (
            r#"{"temperature":[1]}"#,
            "temperature",
            P::UnknownField {
                name: named("temperature"),
            },
        ),
        (
            r#"{"partitionKey":["a"]}"#,
            "partitionKey",
            P::Metadata {
                name: named("partitionKey"),
            },
        ),
        (
            r#"{"data":{"a":{"b":1.50}}}"#,
            "data.a.b",
            P::ValueOutsideOfList { value: named("1.50") },
        ),
        (r#"{"data":{"a":[1,[2]]}}"#, "data.a[1]", P::ListInList),
        (r#"{"data":{"a":[{}]}}"#, "data.a[0]", P::NotOneOperator),
        (
            r#"{"data":{"a":[{"prefix":"a","suffix":"b"}]}}"#,
            "data.a[0]",
            P::NotOneOperator,
        ),
        (
            r#"{"data":{"a":[{"b":["c"]}]}}"#,
            "data.a[0].b",
            P::UnknownOperator { name: named("b") },
        ),
        (
            r#"{"data":{"a":[{"wildcard":"a*"}]}}"#,
            "data.a[0].wildcard",
            P::UnsupportedOperator {
                name: named("wildcard"),
            },
        ),
        (
            r#"{"data":{"a":[{"cidr":"10.0.0.0/8"}]}}"#,
            "data.a[0].cidr",
            P::UnsupportedOperator { name: named("cidr") },
        ),
        (
            r#"{"data":{"a":["x",{"anything-but":{"prefix":"a"}}]}}"#,
            "data.a[1].anything-but",
            P::UnsupportedOperator {
                name: named("anything-but/prefix"),
            },
        ),
        (
            r#"{"data":{"a":[{"prefix":{"equals-ignore-case":"a"}}]}}"#,
            "data.a[0].prefix",
            P::UnsupportedOperator {
                name: named("prefix/equals-ignore-case"),
            },
        ),
        (
            r#"{"data":{"a":[{"suffix":1}]}}"#,
            "data.a[0].suffix",
            P::Operand { needs: "text" },
        ),
        (
            r#"{"data":{"a":[{"exists":"yes"}]}}"#,
            "data.a[0].exists",
            P::Operand { needs: "true or false" },
        ),
        (r#"{"data":{"$or":[{"a":[1]}]}}"#, "data.$or", P::Or),
        (r#"{"data":{"$or":[{"a":[1]},7]}}"#, "data.$or", P::Or),
        (r#"{"data":{"$or":[{"a":[1]},{"b":[]}]}}"#, "data.$or[1].b", P::Empty),
        (
            r#"{"data":{"a":[1],"b":[2],"a":[3]}}"#,
            "data",
            P::Twice { name: named("a") },
        ),
    ];
    for (pattern, path, expected) in cases {
        assert_eq!(problem(pattern), (path.to_owned(), expected), "{pattern}");
    }
    for pattern in ["", "{", "data", r#"{"data":{"a":[1]}}}"#, r#"{"data":{"a":[01]}}"#] {
        assert!(matches!(problem(pattern).1, P::NotJson { .. }), "{pattern}");
    }
    for operand in [
        "5",
        "[]",
        r#"[">"]"#,
        r#"["<",1,"<",2]"#,
        r#"["<=",20,">",10]"#,
        r#"[">",5,"<",5]"#,
        r#"[">","5"]"#,
        r#"["~",5]"#,
        r#"[">",1,"<",5,"<",9]"#,
    ] {
        let pattern = format!(r#"{{"data":{{"a":[{{"numeric":{operand}}}]}}}}"#);
        assert!(matches!(problem(&pattern).1, P::Operand { .. }), "{pattern}");
    }
    for operand in ["[]", "[[1]]", "[{}]"] {
        let pattern = format!(r#"{{"data":{{"a":[{{"anything-but":{operand}}}]}}}}"#);
        assert!(matches!(problem(&pattern).1, P::Operand { .. }), "{pattern}");
    }
}

#[test]
fn given_an_error_when_shown_then_it_says_what_to_do() {
    let criteria = FilterCriteria::of_patterns([r#"{"partitionKey":["a"]}"#]);
    let error = RecordFilter::new(&criteria, FilterOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "the pattern of filter 0 cannot be used");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(
        source,
        "at partitionKey: Lambda filters by data only: to filter by \"partitionKey\", set KclExtensions.FilterByMetadata"
    );
}

#[test]
fn given_long_patterns_and_many_when_read_then_the_quotas_hold() {
    let pattern = |characters: usize| {
        let empty = r#"{"data":{"a":[""]}}"#;
        format!(r#"{{"data":{{"a":["{}"]}}}}"#, "ü".repeat(characters - empty.len()))
    };
    let new =
        |patterns: Vec<String>| RecordFilter::new(&FilterCriteria::of_patterns(patterns), FilterOptions::default());
    assert!(new(vec![pattern(4096); 5]).is_ok());
    let error = new(vec![pattern(4097)]).unwrap_err();
    let InvalidFilters::Pattern { source, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(source.problem(), &PatternProblem::TooLong { characters: 4097 });
    let many = InvalidFilters::TooMany {
        filters: 6,
        filters_max: 5,
    };
    assert_eq!(new(vec![pattern(40); 6]).unwrap_err(), many);
}

#[test]
fn given_a_pattern_as_deep_as_allowed_when_matched_then_nothing_overflows() {
    let depth = 670;
    let pattern = format!(r#"{{"data":{}[1]{}}}"#, r#"{"a":"#.repeat(depth), "}".repeat(depth));
    // Every level is asked for: what is deeper than JSON is followed cannot be read.
    let deep = filter(&[&pattern]);
    let data = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert_eq!(deep.judge(&record(&data)), FilterVerdict::Unparseable);
    // Deep JSON elsewhere is skipped.
    let nested = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let shallow = filter(&[r#"{"data":{"a":[1]}}"#]);
    let beside = format!(r#"{{"b":{nested},"a":1}}"#);
    assert_eq!(shallow.judge(&record(&beside)), FilterVerdict::Kept);
    let at_a_leaf = format!(r#"{{"a":{nested}}}"#);
    assert_eq!(shallow.judge(&record(&at_a_leaf)), FilterVerdict::Unparseable);
}

#[test]
fn given_metadata_when_patterns_ask_then_the_values_of_the_event_count() {
    let keeps = |pattern: &str| filter(&[pattern]).judge(&record("no JSON"));
    assert_eq!(keeps(r#"{"partitionKey":[{"prefix":"key-"}]}"#), FilterVerdict::Kept);
    assert_eq!(keeps(r#"{"sequenceNumber":["7"]}"#), FilterVerdict::Kept);
    assert_eq!(
        keeps(r#"{"approximateArrivalTimestamp":[{"numeric":["=",1.5]}]}"#),
        FilterVerdict::Kept
    );
    assert_eq!(keeps(r#"{"kinesisSchemaVersion":["1.0"]}"#), FilterVerdict::Kept);
    assert_eq!(keeps(r#"{"partitionKey":["key-8"]}"#), FilterVerdict::Filtered);
    let either = r#"{"$or":[{"data":{"a":[{"exists":false}]}},{"partitionKey":["key-8"]}]}"#;
    assert_eq!(keeps(either), FilterVerdict::Unparseable);
    let (verdict, matching) = filter(&[r#"{"data":{"a":[1]}}"#, r#"{"partitionKey":["key-7"]}"#]).explain(&record("?"));
    assert_eq!((verdict, matching), (FilterVerdict::Kept, vec![1]));
}

#[test]
fn given_a_dry_run_when_records_are_counted_then_each_filter_has_its_matches() {
    let filter = filter(&[r#"{"data":{"a":[1]}}"#, r#"{"data":{"b":[2]}}"#]);
    let mut run = DryRun::default();
    for data in [r#"{"a":1}"#, r#"{"a":1,"b":2}"#, "{}", "[]", "?"] {
        run.count(&filter, &record(data));
    }
    let expected = DryRun {
        kept: 2,
        filtered: 2,
        unparseable: 1,
        matching: vec![2, 1],
    };
    assert_eq!(run, expected);
}

/// The second matcher: walks values as they are, pattern by pattern.
mod naive {
    use super::*;

    pub(super) fn matches(pattern: &Value, data: &Value) -> bool {
        data.is_object() && object(&pattern["data"], Some(data))
    }

    fn object(pattern: &Value, found: Option<&Value>) -> bool {
        let mut candidates = Vec::new();
        flatten(found, &mut |value| candidates.extend(value.as_object()));
        let nothing = Map::new();
        if candidates.is_empty() {
            candidates.push(&nothing);
        }
        candidates.into_iter().any(|candidate| fields(pattern, candidate))
    }

    fn fields(pattern: &Value, candidate: &Map<String, Value>) -> bool {
        pattern.as_object().unwrap().iter().all(|(name, wanted)| match wanted {
            Value::Array(objects) if name == "$or" => objects.iter().any(|branch| fields(branch, candidate)),
            Value::Array(tests) => {
                let mut values = Vec::new();
                flatten(candidate.get(name), &mut |value| {
                    if !value.is_object() {
                        values.push(value);
                    }
                });
                tests.iter().any(|test| passes(test, &values))
            }
            _ => object(wanted, candidate.get(name)),
        })
    }

    fn flatten<'v>(found: Option<&'v Value>, each: &mut dyn FnMut(&'v Value)) {
        match found {
            None => {}
            Some(Value::Array(elements)) => elements.iter().for_each(|element| flatten(Some(element), each)),
            Some(value) => each(value),
        }
    }

    fn passes(test: &Value, values: &[&Value]) -> bool {
        let Some(operator) = test.as_object() else {
            return values.contains(&test);
        };
        let (name, operand) = operator.iter().next().unwrap();
        let text = |test: fn(&str, &str) -> bool| {
            let wanted = operand.as_str().unwrap_or_default();
            values
                .iter()
                .any(|value| value.as_str().is_some_and(|text| test(text, wanted)))
        };
        match name.as_str() {
            "exists" => operand == &json!(!values.is_empty()),
            "prefix" => text(|text, wanted| text.starts_with(wanted)),
            "suffix" => text(|text, wanted| text.ends_with(wanted)),
            "equals-ignore-case" => text(|text, wanted| text.to_lowercase() == wanted.to_lowercase()),
            "anything-but" => values.iter().any(|value| !operand.as_array().unwrap().contains(value)),
            _ => values.iter().filter_map(|value| value.as_f64()).any(|number| {
                operand.as_array().unwrap().chunks(2).all(|pair| {
                    let bound = pair[1].as_f64().unwrap();
                    match pair[0].as_str().unwrap() {
                        ">" => number > bound,
                        ">=" => number >= bound,
                        "<" => number < bound,
                        "<=" => number <= bound,
                        _ => (number - bound).abs() == 0.0,
                    }
                })
            }),
        }
    }
}

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec!["", "a", "A", "ab", "Ba", "a\"b", "ä\\", "\u{1}"]).prop_map(|text| json!(text)),
        (-2..3_i32).prop_map(|number| json!(number)),
        (-2..3_i32).prop_map(|number| json!(f64::from(number) / 2.0)),
        any::<bool>().prop_map(|value| json!(value)),
        Just(Value::Null),
    ]
}

fn any_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned)
}

fn any_data() -> impl Strategy<Value = Value> {
    any_scalar().prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => prop::collection::btree_map(any_name(), inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

fn any_test() -> impl Strategy<Value = Value> {
    let text = prop::sample::select(vec!["", "a", "B", "ä"]);
    prop_oneof![
        any_scalar(),
        any::<bool>().prop_map(|wanted| json!({"exists": wanted})),
        (
            text,
            prop::sample::select(vec!["prefix", "suffix", "equals-ignore-case"])
        )
            .prop_map(|(text, name)| json!({name: text})),
        prop::collection::vec(any_scalar(), 1..3).prop_map(|values| json!({"anything-but": values})),
        (prop::sample::select(vec!["=", "<", "<=", ">", ">="]), -2..3_i32)
            .prop_map(|(comparison, bound)| json!({"numeric": [comparison, bound]})),
        (-2..0_i32, 0..3_i32).prop_map(|(low, high)| json!({"numeric": [">=", low, "<", f64::from(high) + 0.5]})),
    ]
}

fn any_pattern() -> impl Strategy<Value = Value> {
    let tests = prop::collection::vec(any_test(), 1..3).prop_map(Value::from);
    let object = prop::collection::btree_map(any_name(), tests, 1..3).prop_map(|map| json!(map));
    object.prop_recursive(3, 20, 3, |inner| {
        let either = prop::collection::vec(inner.clone(), 2..4);
        let condition = prop_oneof![inner, prop::collection::vec(any_test(), 1..3).prop_map(Value::from)];
        (
            prop::collection::btree_map(any_name(), condition, 1..3),
            prop::option::of(either),
        )
            .prop_map(|(map, either)| {
                let mut pattern = json!(map);
                if let Some(either) = either {
                    pattern["$or"] = Value::from(either);
                }
                pattern
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn filters_match_as_the_naive_matcher_does(
        patterns in prop::collection::vec(any_pattern(), 1..4),
        data in any_data(),
        pretty in any::<bool>(),
    ) {
        let patterns: Vec<_> = patterns.into_iter().map(|pattern| json!({"data": pattern})).collect();
        let criteria = FilterCriteria::of_patterns(patterns.iter().map(Value::to_string));
        let filter = RecordFilter::new(&criteria, FilterOptions::default()).unwrap();
        let text = if pretty { serde_json::to_string_pretty(&data).unwrap() } else { data.to_string() };
        let (verdict, matching) = filter.explain(&record(&text));
        let expected: Vec<_> = (0..patterns.len()).filter(|place| naive::matches(&patterns[*place], &data)).collect();
        prop_assert_eq!(&matching, &expected, "{}", text);
        prop_assert_eq!(verdict == FilterVerdict::Kept, !expected.is_empty());
        prop_assert_eq!(filter.judge(&record(&text)), verdict);
    }

    /// Whatever the bytes, they are unparseable exactly if they are not JSON.
    #[test]
    fn any_bytes_get_a_verdict(data in r#"[ \[\]{}"a:,1.e\\nul\-]{0,12}"#) {
        let filter = RecordFilter::new(
            &FilterCriteria::of_patterns([r#"{"data":{"a":["never"],"b":{"a":["never"]}}}"#]),
            FilterOptions::default(),
        )
        .unwrap();
        let is_json = serde_json::from_str::<Value>(&data).is_ok();
        let expected = if is_json { FilterVerdict::Filtered } else { FilterVerdict::Unparseable };
        prop_assert_eq!(filter.judge(&record(&data)), expected);
    }
}
