//! Reading tables of settings: each setting is taken out by its name, and what is left was misspelt.

use kcl_core::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    error::{InvalidMapping, Range},
    read::EXTENSIONS,
    values::InvalidValue,
};

/// Settings of mappings for other sources.
const OTHER_SOURCES: [(&str, &str); 9] = [
    ("AmazonManagedKafkaEventSourceConfig", "Amazon MSK"),
    ("DocumentDBEventSourceConfig", "DocumentDB"),
    ("ProvisionedPollerConfig", "Kafka and SQS"),
    ("Queues", "Amazon MQ"),
    ("ScalingConfig", "SQS"),
    ("SelfManagedEventSource", "Kafka"),
    ("SelfManagedKafkaEventSourceConfig", "Kafka"),
    ("SourceAccessConfigurations", "Amazon MQ and Kafka"),
    ("Topics", "Kafka"),
];

/// The members of a table that are still to be read.
pub(super) struct Table {
    /// What stands before the names of its members.
    pub(super) prefix: &'static str,
    pub(super) known: &'static [&'static str],
    pub(super) members: Map<String, Value>,
}

impl Table {
    /// A member, if it is there and not null.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn value<T>(
        &mut self,
        name: &str,
        rule: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, InvalidMapping> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match read(&value) {
            Some(read) => Ok(Some(read)),
            None => Err(InvalidMapping::new(format!("{}{name}", self.prefix), value, rule)),
        }
    }

    pub(super) fn typed<T: DeserializeOwned>(&mut self, name: &str, rule: &str) -> Result<Option<T>, InvalidMapping> {
        self.value(name, rule, |value| T::deserialize(value).ok())
    }

    pub(super) fn switch(&mut self, name: &str) -> Result<Option<bool>, InvalidMapping> {
        self.value(name, "use true or false", Value::as_bool)
    }

    /// A text that is parsed; the error knows the rule.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, InvalidValue>,
    ) -> Result<Option<T>, InvalidMapping> {
        let Some(text) = self.value(name, "use text", |value| value.as_str().map(str::to_owned))? else {
            return Ok(None);
        };
        let refuse = |invalid: InvalidValue| {
            InvalidMapping::new(
                format!("{}{name}", self.prefix),
                format_args!("{text:?}"),
                invalid.rule(),
            )
        };
        parse(&text).map(Some).map_err(refuse)
    }

    /// A number in a range. The range's setting has the prefix already.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, range: &Range) -> Result<Option<T>, InvalidMapping> {
        let name = &range.setting[self.prefix.len()..];
        let number = self.value(name, &range.rule(), |value| {
            let number = value.as_u64()?;
            range.check(number).ok()?;
            T::try_from(number).ok()
        })?;
        Ok(number)
    }

    /// A number in a range, or -1 for none.
    pub(super) fn limit<T: TryFrom<u64>>(&mut self, range: &Range) -> Result<Option<Option<T>>, InvalidMapping> {
        let name = &range.setting[self.prefix.len()..];
        if self.members.get(name).and_then(Value::as_i64) == Some(-1) {
            self.members.remove(name);
            return Ok(Some(None));
        }
        Ok(self.number(range)?.map(Some))
    }

    /// Seconds since 1970 as AWS's API has them, or an instant in RFC 3339 as its command line takes it.
    pub(super) fn timestamp(&mut self, name: &str) -> Result<Option<Timestamp>, InvalidMapping> {
        let rule = "use seconds since 1970, or an instant such as \"2025-11-21T04:40:00Z\"";
        self.value(name, rule, |value| match value {
            Value::String(text) => text.parse().ok(),
            _ => {
                let millis = value.as_f64()? * 1_000.0;
                #[expect(clippy::cast_possible_truncation, reason = "checked on the line above")]
                (millis.abs() < 1e15).then(|| Timestamp::from_epoch_millis(millis.round() as i64))
            }
        })
    }

    pub(super) fn table(
        &mut self,
        name: &str,
        prefix: &'static str,
        known: &'static [&'static str],
    ) -> Result<Option<Self>, InvalidMapping> {
        let members = self.value(name, "use a table", |value| value.as_object().cloned())?;
        Ok(members.map(|members| Self { prefix, known, members }))
    }

    pub(super) fn missing(&self, name: &str, rule: &str) -> InvalidMapping {
        InvalidMapping::new(format!("{}{name}", self.prefix), "missing", rule)
    }

    /// Refuses what is left.
    pub(super) fn end(self) -> Result<(), InvalidMapping> {
        let Some((name, value)) = self.members.iter().next() else {
            return Ok(());
        };
        let rule = self.hint(name);
        Err(InvalidMapping::new(format!("{}{name}", self.prefix), value, rule))
    }

    fn hint(&self, name: &str) -> String {
        if let Some((_, source)) = OTHER_SOURCES.iter().find(|(known, _)| *known == name) {
            return format!("leave it out: it is for {source}, and this source is a stream");
        }
        if self.prefix.is_empty() && EXTENSIONS.contains(&name) {
            return format!("write it into the table KclExtensions: {name} is not a setting of AWS's");
        }
        let plain = |text: &str| text.to_ascii_lowercase().replace(['_', '-'], "");
        let near = self
            .known
            .iter()
            .min_by_key(|known| distance(&plain(known), &plain(name)));
        match near.filter(|known| distance(&plain(known), &plain(name)) <= 3) {
            Some(known) => format!("there is no such setting; is it {known}?"),
            None => format!("there is no such setting; there are {}", self.known.join(", ")),
        }
    }
}

/// How many letters must be changed, added or left out to make one word of the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<_> = right.chars().collect();
    let mut row: Vec<_> = (0..=right.len()).collect();
    for (line, letter) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, other) in right.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}
