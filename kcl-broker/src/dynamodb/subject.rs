//! Which table a request is about: what a log of operations shows, and what scripted trouble is aimed at.

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};

/// The members of requests that name tables.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Naming {
    table_name: Option<String>,
    resource_arn: Option<String>,
    request_items: Option<BTreeMap<String, IgnoredAny>>,
    transact_items: Option<Vec<BTreeMap<String, Option<Part>>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    table_name: Option<String>,
}

/// The table that a request names, if it names one and no other.
pub(crate) fn table_of(body: &[u8]) -> Option<String> {
    let naming: Naming = serde_json::from_slice(body).ok()?;
    let of_items = naming.request_items.into_iter().flatten().map(|(name, _)| name);
    let parts = naming.transact_items.into_iter().flatten().flatten();
    let of_parts = parts.filter_map(|(_, part)| part?.table_name);
    let mut names = naming
        .table_name
        .into_iter()
        .chain(naming.resource_arn)
        .chain(of_items)
        .chain(of_parts)
        .map(|name| match name.rsplit_once(":table/") {
            Some((_, name)) => name.to_owned(),
            None => name,
        });
    let first = names.next()?;
    names.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_table_of_a_request_is_found() {
        for (body, table) in [
            (r#"{"TableName": "a", "Item": {"TableName": {"S": "b"}}}"#, Some("a")),
            (
                r#"{"ResourceArn": "arn:aws:dynamodb:us-east-1:000000000000:table/a"}"#,
                Some("a"),
            ),
            (r#"{"RequestItems": {"a": [1]}}"#, Some("a")),
            (r#"{"RequestItems": {"a": [1], "b": []}}"#, None),
            (
                r#"{"TransactItems": [{"Put": {"TableName": "a"}}, {"Delete": {"TableName": "a"}, "Put": null}]}"#,
                Some("a"),
            ),
            (
                r#"{"TransactItems": [{"Put": {"TableName": "a"}}, {"Put": {"TableName": "b"}}]}"#,
                None,
            ),
            (r#"{"Limit": 1}"#, None),
            ("{", None),
        ] {
            assert_eq!(table_of(body.as_bytes()).as_deref(), table, "{body}");
        }
    }
}
