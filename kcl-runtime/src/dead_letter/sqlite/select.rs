//! A [`Selection`] as the condition of a query.

use rusqlite::types::Value;

use crate::dead_letter::Selection;

/// The tables that a condition is about: records `r`, their letter `l`, its shard `s`, and its last try `t`.
pub(super) const FROM: &str = "records r JOIN letters l ON l.id = r.letter JOIN shards s ON s.id = l.shard_row \
    JOIN tries t ON t.id = (SELECT max(id) FROM tries WHERE letter = l.id)";

/// The order of records within a stream, and so within a key: sequence numbers are decimal numbers of any length.
pub(super) const ORDER: &str = "length(r.sequence_number), r.sequence_number, r.sub_sequence_number, r.id";

/// A condition with its values.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

impl Condition {
    pub(super) fn new(selection: &Selection) -> Self {
        let mut this = Self {
            sql: "TRUE".to_owned(),
            values: Vec::new(),
        };
        let text = |text: &dyn AsRef<str>| Value::Text(text.as_ref().to_owned());
        this.among("l.id", selection.letters.iter().map(|letter| Value::Integer(letter.0)));
        this.among("s.application", selection.application.iter().map(|name| text(name)));
        this.among("s.stream", selection.stream.iter().map(|name| text(name)));
        this.among("s.shard", selection.shard.iter().map(|shard| text(shard)));
        let keys = selection.keys.iter().map(|key| Value::Text(key.to_string()));
        this.among("r.partition_key", keys);
        this.among("t.reason", selection.reason.iter().cloned().map(Value::Text));
        if let Some(from) = selection.from {
            this.and("l.first_ms >= ?", from.epoch_millis().into());
        }
        if let Some(until) = selection.until {
            this.and("l.first_ms < ?", until.epoch_millis().into());
        }
        this
    }

    pub(super) fn and(&mut self, condition: &str, value: Value) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.push(value);
    }

    /// No value is no condition.
    fn among(&mut self, column: &str, values: impl Iterator<Item = Value>) {
        let before = self.values.len();
        self.values.extend(values);
        let count = self.values.len() - before;
        if count > 0 {
            let places = vec!["?"; count].join(", ");
            self.sql.push_str(&format!(" AND {column} IN ({places})"));
        }
    }
}
