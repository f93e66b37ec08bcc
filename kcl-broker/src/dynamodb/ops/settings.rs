//! Tags, and the switch for backups.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Operation, describe::epoch_seconds};
use crate::dynamodb::{
    Tables,
    error::{DynamoError, DynamoErrorKind},
    request::{listed, ranged, required, table_name},
    table::Table,
};

const TAGS_MAX: usize = 50;
const TAG_KEY_CHARS_MAX: usize = 128;
const TAG_VALUE_CHARS_MAX: usize = 256;
const TAGS_PAGE_LEN: usize = 10;
const RECOVERY_DAYS_MAX: i64 = 35;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    key: String,
    value: String,
}

/// Adds tags to those that are there, if they may be added.
pub(super) fn add_tags(tags: &mut BTreeMap<String, String>, new: Vec<Tag>) -> Result<(), DynamoError> {
    for Tag { key, value } in new {
        if key.is_empty() || key.chars().count() > TAG_KEY_CHARS_MAX {
            return Err(DynamoError::invalid(format!(
                "Tag keys have 1 to {TAG_KEY_CHARS_MAX} characters"
            )));
        }
        if value.chars().count() > TAG_VALUE_CHARS_MAX {
            return Err(DynamoError::invalid(format!(
                "Tag values have at most {TAG_VALUE_CHARS_MAX} characters"
            )));
        }
        tags.insert(key, value);
    }
    if tags.len() > TAGS_MAX {
        return Err(DynamoError::invalid(format!(
            "One or more parameter values were invalid: Too many tags: at most {TAGS_MAX}"
        )));
    }
    Ok(())
}

impl Tables {
    /// The table that an ARN names, in whatever phase.
    fn of_arn(&mut self, arn: Option<String>) -> Result<&mut Table, DynamoError> {
        let arn = required("resourceArn", arn)?;
        let name = arn.strip_prefix("arn:").and_then(|rest| rest.split_once(":table/"));
        let Some((_, name)) = name else {
            return Err(DynamoError::invalid(format!(
                "Invalid TableArn: Invalid ResourceArn provided as input {arn}"
            )));
        };
        self.tables.get_mut(name).ok_or_else(|| {
            DynamoError::new(
                DynamoErrorKind::ResourceNotFound,
                format!("Requested resource not found: ResourcArn: {arn} not found"),
            )
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagResource {
    resource_arn: Option<String>,
    tags: Option<Vec<Tag>>,
}

impl Operation for TagResource {
    const NAME: &'static str = "TagResource";
    type Output = Value;

    fn execute(self, tables: &mut Tables) -> Result<Value, DynamoError> {
        let new = required("tags", self.tags)?;
        let table = tables.of_arn(self.resource_arn)?;
        let mut tags = table.settings.tags.clone();
        add_tags(&mut tags, new)?;
        table.settings.tags = tags;
        Ok(json!({}))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UntagResource {
    resource_arn: Option<String>,
    tag_keys: Option<Vec<String>>,
}

impl Operation for UntagResource {
    const NAME: &'static str = "UntagResource";
    type Output = Value;

    fn execute(self, tables: &mut Tables) -> Result<Value, DynamoError> {
        let keys = listed("tagKeys", self.tag_keys, TAGS_MAX)?;
        let table = tables.of_arn(self.resource_arn)?;
        for key in &keys {
            table.settings.tags.remove(key);
        }
        Ok(json!({}))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTagsOfResource {
    resource_arn: Option<String>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTagsOfResourceOutput {
    tags: Vec<Tag>,
    /// The key of the last tag listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Operation for ListTagsOfResource {
    const NAME: &'static str = "ListTagsOfResource";
    type Output = ListTagsOfResourceOutput;

    fn execute(self, tables: &mut Tables) -> Result<ListTagsOfResourceOutput, DynamoError> {
        let table = tables.of_arn(self.resource_arn)?;
        let after = self.next_token;
        let mut rest = table
            .settings
            .tags
            .iter()
            .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after))
            .map(|(key, value)| Tag {
                key: key.clone(),
                value: value.clone(),
            });
        let tags: Vec<_> = rest.by_ref().take(TAGS_PAGE_LEN).collect();
        let next_token = tags.last().filter(|_| rest.next().is_some()).map(|tag| tag.key.clone());
        Ok(ListTagsOfResourceOutput { tags, next_token })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateContinuousBackups {
    table_name: Option<String>,
    point_in_time_recovery_specification: Option<RecoverySpecification>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecoverySpecification {
    point_in_time_recovery_enabled: Option<bool>,
    recovery_period_in_days: Option<i64>,
}

impl Operation for UpdateContinuousBackups {
    const NAME: &'static str = "UpdateContinuousBackups";
    type Output = Value;

    fn execute(self, tables: &mut Tables) -> Result<Value, DynamoError> {
        let name = table_name(self.table_name)?;
        let wanted = required(
            "pointInTimeRecoverySpecification",
            self.point_in_time_recovery_specification,
        )?;
        let enabled = required(
            "pointInTimeRecoverySpecification.pointInTimeRecoveryEnabled",
            wanted.point_in_time_recovery_enabled,
        )?;
        let days = ranged(
            "pointInTimeRecoverySpecification.recoveryPeriodInDays",
            wanted.recovery_period_in_days,
            1..=RECOVERY_DAYS_MAX,
        )?;
        let table = tables.backed_up(&name)?;
        table.settings.recovery_days = enabled.then(|| days.unwrap_or(RECOVERY_DAYS_MAX));
        Ok(tables.describe_backups(&name))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeContinuousBackups {
    table_name: Option<String>,
}

impl Operation for DescribeContinuousBackups {
    const NAME: &'static str = "DescribeContinuousBackups";
    type Output = Value;

    fn execute(self, tables: &mut Tables) -> Result<Value, DynamoError> {
        let name = table_name(self.table_name)?;
        tables.backed_up(&name)?;
        Ok(tables.describe_backups(&name))
    }
}

impl Tables {
    fn backed_up(&mut self, name: &str) -> Result<&mut Table, DynamoError> {
        self.tables
            .get_mut(name)
            .ok_or_else(|| DynamoError::new(DynamoErrorKind::TableNotFound, format!("Table not found: {name}")))
    }

    fn describe_backups(&self, name: &str) -> Value {
        let days = self.tables.get(name).and_then(|table| table.settings.recovery_days);
        let recovery = match days {
            None => json!({"PointInTimeRecoveryStatus": "DISABLED"}),
            Some(days) => json!({
                "PointInTimeRecoveryStatus": "ENABLED",
                "RecoveryPeriodInDays": days,
                "EarliestRestorableDateTime": epoch_seconds(self.now),
                "LatestRestorableDateTime": epoch_seconds(self.now),
            }),
        };
        json!({"ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": recovery,
        }})
    }
}
