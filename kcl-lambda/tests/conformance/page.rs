//! The page that lists all rows.

use std::fmt::Write;

use super::{Row, events, filters, mappings, records, responses, windows};

const INTRO: &str = "# What AWS Lambda does, and what kcl-lambda does

Every row is a test: `cargo test -p kcl-lambda --test conformance TEST`, with the name of the test that stands over the
table. The page is written from the tests (`KCL_WRITE_PAGE=1 cargo test -p kcl-lambda --test conformance`).

Where it is known from: *documented* by AWS; *observed* on AWS; *community*: told by users, done by emulators, or
read in the source of EventBridge's matcher; *our choice*: not known, and decided here.

How batches without windows are delivered again, cut, given up and checkpointed is not on this page: that is the worker's.
";

fn page() -> String {
    let mut page = INTRO.to_owned();
    let tables: [(&str, &str, Vec<Row>); 6] = [
        ("Settings of an event source mapping", "mappings", mappings::rows()),
        ("Filters", "filters", filters::rows()),
        ("Events", "events", events::rows()),
        ("Responses", "responses", responses::rows()),
        ("Tumbling windows", "windows", windows::rows()),
        (
            "Invocation records for failure destinations",
            "records",
            records::rows(),
        ),
    ];
    for (title, test, rows) in tables {
        write!(
            page,
            "\n## {title}\n\nTest: `{test}`\n\n| row | AWS | known from | ours |\n|---|---|---|---|\n"
        )
        .unwrap();
        for Row {
            name,
            aws,
            evidence,
            ours,
            ..
        } in rows
        {
            let cells = [name, aws, evidence.name(), ours].map(|cell| cell.replace('|', "\\|"));
            writeln!(page, "| {} |", cells.join(" | ")).unwrap();
        }
    }
    page
}

#[test]
fn page_is_what_the_rows_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/lambda-conformance.md");
    if std::env::var_os("KCL_WRITE_PAGE").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/lambda-conformance.md is out of date: set KCL_WRITE_PAGE=1 to write it"
    );
}

#[test]
fn no_table_has_two_rows_of_one_name() {
    for mut rows in [
        mappings::rows(),
        filters::rows(),
        events::rows(),
        responses::rows(),
        windows::rows(),
        records::rows(),
    ] {
        let count = rows.len();
        rows.sort_by_key(|row| row.name);
        rows.dedup_by_key(|row| row.name);
        assert_eq!(rows.len(), count);
    }
}
