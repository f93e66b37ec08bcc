//! The rules that members of requests must keep, and the words in which the service says which is broken.

use std::{fmt::Display, ops::RangeInclusive};

use super::{capacity::ReturnConsumedCapacity, error::DynamoError};

const TABLE_NAME_CHARS_MIN: usize = 3;
const TABLE_NAME_CHARS_MAX: usize = 255;

fn violation(value: impl Display, path: &str, rule: impl Display) -> DynamoError {
    DynamoError::invalid(format!(
        "1 validation error detected: Value {value} at '{path}' failed to satisfy constraint: {rule}"
    ))
}

/// A member that must be there.
pub(super) fn required<T>(path: &str, value: Option<T>) -> Result<T, DynamoError> {
    value.ok_or_else(|| violation("null", path, "Member must not be null"))
}

/// A member that is one of a few words, if it is there.
pub(super) fn choice<'a>(path: &str, value: Option<&'a str>, words: &[&str]) -> Result<Option<&'a str>, DynamoError> {
    match value {
        Some(word) if !words.contains(&word) => {
            let rule = format_args!("Member must satisfy enum value set: [{}]", words.join(", ")).to_string();
            Err(violation(format_args!("'{word}'"), path, rule))
        }
        other => Ok(other),
    }
}

/// A number in a range, if it is there.
pub(super) fn ranged(path: &str, value: Option<i64>, range: RangeInclusive<i64>) -> Result<Option<i64>, DynamoError> {
    let rule = |rule: &str, limit: &i64| {
        let value = value.unwrap_or_default();
        violation(
            format_args!("'{value}'"),
            path,
            format_args!("Member must have value {rule} or equal to {limit}"),
        )
    };
    match value {
        Some(value) if value < *range.start() => Err(rule("greater than", range.start())),
        Some(value) if value > *range.end() => Err(rule("less than", range.end())),
        other => Ok(other),
    }
}

/// A list of at least one and at most `max` elements.
pub(super) fn listed<T>(path: &str, list: Option<Vec<T>>, max: usize) -> Result<Vec<T>, DynamoError> {
    let list = required(path, list)?;
    check_len(path, list.len(), max)?;
    Ok(list)
}

/// Refuses a list or a map that is empty or longer than `max`.
pub(super) fn check_len(path: &str, len: usize, max: usize) -> Result<(), DynamoError> {
    let rule = match len {
        0 => "Member must have length greater than or equal to 1".to_owned(),
        len if len > max => format!("Member must have length less than or equal to {max}"),
        _ => return Ok(()),
    };
    Err(violation(format_args!("'[{len} elements]'"), path, rule))
}

/// The name of a table, from the name or the ARN that a request gives.
pub(super) fn table_name(given: Option<String>) -> Result<String, DynamoError> {
    let given = required("tableName", given)?;
    let name = match given.strip_prefix("arn:").and_then(|arn| arn.split_once(":table/")) {
        Some((_, name)) => name.to_owned(),
        None => given,
    };
    check_name("tableName", "TableName", &name)?;
    Ok(name)
}

/// The name of an index, if one is named.
pub(super) fn index_name(given: Option<String>) -> Result<Option<String>, DynamoError> {
    if let Some(name) = &given {
        check_name("indexName", "IndexName", name)?;
    }
    Ok(given)
}

fn check_name(path: &str, member: &str, name: &str) -> Result<(), DynamoError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if name.is_empty() || !name.bytes().all(allowed) {
        let rule = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
        return Err(violation(format_args!("'{name}'"), path, rule));
    }
    if !(TABLE_NAME_CHARS_MIN..=TABLE_NAME_CHARS_MAX).contains(&name.len()) {
        return Err(DynamoError::invalid(format!(
            "{member} must be at least {TABLE_NAME_CHARS_MIN} characters long and at most {TABLE_NAME_CHARS_MAX} \
             characters long"
        )));
    }
    Ok(())
}

/// Refuses a member that this broker does not build.
pub(super) fn not_built<T>(member: &str, value: Option<&T>) -> Result<(), DynamoError> {
    match value {
        Some(_) => Err(DynamoError::invalid(format!(
            "{member} is not built in this broker: leave it out"
        ))),
        None => Ok(()),
    }
}

/// Refuses a request that has members of both kinds. Each is given with its name and whether it is there.
pub(super) fn check_not_mixed(legacy: &[(&str, bool)], expressions: &[(&str, bool)]) -> Result<(), DynamoError> {
    let there = |members: &[(&str, bool)]| {
        let there = members.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name);
        there.collect::<Vec<_>>().join(", ")
    };
    let (legacy, expressions) = (there(legacy), there(expressions));
    if legacy.is_empty() || expressions.is_empty() {
        return Ok(());
    }
    Err(DynamoError::invalid(format!(
        "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: \
         {{{legacy}}} Expression parameters: {{{expressions}}}"
    )))
}

/// What a request wants to know of its cost.
pub(super) fn return_consumed_capacity(given: Option<&str>) -> Result<ReturnConsumedCapacity, DynamoError> {
    let choice = choice("returnConsumedCapacity", given, &["INDEXES", "TOTAL", "NONE"])?;
    Ok(match choice {
        Some("INDEXES") => ReturnConsumedCapacity::Indexes,
        Some("TOTAL") => ReturnConsumedCapacity::Total,
        _ => ReturnConsumedCapacity::None,
    })
}
