use super::*;

fn read(format: Format, keys: &Keys, text: impl Into<Vec<u8>>) -> Result<Vec<(u64, String, String)>, String> {
    Records::new(Source::of(text), format, keys.clone())
        .map(|record| {
            let record = record.map_err(|bad| bad.to_string())?;
            Ok((
                record.line,
                record.key,
                String::from_utf8_lossy(&record.data).into_owned(),
            ))
        })
        .collect()
}

fn records(format: Format, keys: &Keys, text: &str) -> Vec<(u64, String, String)> {
    read(format, keys, text).unwrap()
}

fn problem(format: Format, keys: &Keys, text: impl Into<Vec<u8>>) -> String {
    read(format, keys, text).unwrap_err()
}

fn rows(expected: &[(u64, &str, &str)]) -> Vec<(u64, String, String)> {
    expected
        .iter()
        .map(|(line, key, data)| (*line, (*key).to_owned(), (*data).to_owned()))
        .collect()
}

fn field(name: &str) -> Keys {
    Keys::Field(name.to_owned())
}

#[test]
fn lines_lose_their_ends_and_nothing_else() {
    let expected = rows(&[(1, "1", "a "), (2, "2", ""), (3, "3", "b"), (4, "4", "c")]);
    assert_eq!(records(Format::Lines, &Keys::Spread, "a \n\nb\r\nc"), expected);
    assert_eq!(
        records(Format::Lines, &Keys::Same("k".to_owned()), "a\n"),
        rows(&[(1, "k", "a")])
    );
    assert_eq!(records(Format::Lines, &Keys::Spread, ""), []);
}

#[test]
fn a_record_may_have_a_mebibyte_with_its_key() {
    let fits = "x".repeat(RECORD_BYTES_MAX - 1);
    assert_eq!(records(Format::Lines, &Keys::Spread, &fits).len(), 1);
    let text = format!("a\n{fits}x\nb\n");
    let expected = "line 2: the record has 1048577 bytes with its key, and 1048576 (1 MiB) are allowed";
    assert_eq!(problem(Format::Lines, &Keys::Spread, text), expected);
    let endless = "x".repeat(3 * RECORD_BYTES_MAX);
    assert_eq!(
        problem(Format::Lines, &Keys::Spread, endless),
        "line 1: the line is longer than 1048576 bytes (1 MiB)"
    );
}

#[test]
fn json_lines_keep_their_text_and_give_their_key() {
    let text = "{\"k\": \"a\", \"n\": 1.50}\n\n  {\"k\":7}\r\n{\"k\":true}";
    let expected = rows(&[
        (1, "a", "{\"k\": \"a\", \"n\": 1.50}"),
        (3, "7", "  {\"k\":7}"),
        (4, "true", "{\"k\":true}"),
    ]);
    assert_eq!(records(Format::Jsonl, &field("k"), text), expected);
    assert_eq!(records(Format::Jsonl, &Keys::Spread, "[1]\n"), rows(&[(1, "1", "[1]")]));
}

#[test]
fn bad_json_lines_are_named() {
    for (text, expected) in [
        (
            "{\"k\":1}\n{\"k\":",
            "line 2: not JSON: EOF while parsing a value at column 5",
        ),
        ("{\"k\":1} x", "line 1: not JSON: trailing characters at column 9"),
        (
            "[1]",
            "line 1: the key is the field \"k\", and the line is not a JSON object",
        ),
        ("{\"j\":1}", "line 1: the key field \"k\" is missing"),
        (
            "{\"k\":null}",
            "line 1: the key field \"k\" is neither text nor number nor boolean",
        ),
        (
            "{\"k\":\"\"}",
            "line 1: the partition key has 0 characters, and 1 to 256 are allowed",
        ),
    ] {
        assert_eq!(problem(Format::Jsonl, &field("k"), text), expected, "{text}");
    }
    assert!(problem(Format::Jsonl, &Keys::Spread, b"\"\xff\"".to_vec()).starts_with("line 1: not JSON: "));
}

#[test]
fn csv_rows_are_objects_with_their_fields_in_order() {
    let text = "\u{feff}b,a\n1,\"x \"\"y\"\"\nz\"\n2,\n";
    let expected = rows(&[
        (2, "1", "{\"b\":\"1\",\"a\":\"x \\\"y\\\"\\nz\"}"),
        (4, "2", "{\"b\":\"2\",\"a\":\"\"}"),
    ]);
    assert_eq!(records(Format::Csv, &field("b"), text), expected);
    assert_eq!(records(Format::Csv, &Keys::Spread, "a\n"), []);
    assert_eq!(records(Format::Csv, &Keys::Spread, ""), []);
}

#[test]
fn bad_csv_rows_are_named() {
    for (text, expected) in [
        (
            &b"a,b\n1,2\n3\n4,5\n"[..],
            "line 3: the row has 1 fields, and the header has 2",
        ),
        (b"a,b\n1,\xff\n", "line 2: field 2 is not UTF-8"),
        (b"a,\xff\n1,2\n", "line 1: field 2 is not UTF-8"),
        (b"a,a\n1,2\n", "line 1: the header names \"a\" twice"),
        (b"b,c\n1,2\n", "line 1: the header has no field \"a\"; it has b, c"),
        (
            b"a,b\n,2\n",
            "line 2: the partition key has 0 characters, and 1 to 256 are allowed",
        ),
    ] {
        assert_eq!(problem(Format::Csv, &field("a"), text), expected);
    }
}

#[test]
fn a_quote_that_is_not_closed_does_not_swallow_the_memory() {
    let text = format!("a,b\n1,2\n\"3,{}", "4\n".repeat(4 << 20));
    assert_eq!(
        problem(Format::Csv, &field("a"), text),
        "line 3: the row is longer than 4194304 bytes: is a quote not closed?"
    );
}
