//! What tags can be, and the words in which the service says that they are not.

use std::{collections::BTreeMap, fmt::Display};

use crate::{
    api::ApiError,
    engine::{Engine, attached::Resource, validate::Constraints},
};

const TAGS_MAX: usize = 50;
/// The most tags that one request can name, more than there can be.
const REQUEST_TAGS_MAX: usize = 200;
const REQUEST_KEYS_MAX: usize = 50;
pub(super) const KEY_LEN_MAX: usize = 128;
const VALUE_LEN_MAX: usize = 256;
/// What the keys of tags that the service itself makes begin with.
const RESERVED: &str = "aws:";

impl Constraints {
    /// The member `tags` of a request.
    pub(in crate::engine) fn tags(&mut self, tags: Option<&BTreeMap<String, String>>) -> &mut Self {
        let Some(tags) = tags else { return self };
        let shown = || {
            let tags: Vec<_> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{{{}}}", tags.join(", "))
        };
        self.members("tags", tags.len(), REQUEST_TAGS_MAX, shown);
        if tags.keys().any(|key| !is_key_len(key)) {
            let rule = format!("Map keys must satisfy constraint: [{}]", length_rule(1, KEY_LEN_MAX));
            self.violated(format_args!("'{}'", shown()), "tags", &rule);
        }
        if tags.values().any(|value| value.chars().count() > VALUE_LEN_MAX) {
            let rule = format!("Map value must satisfy constraint: [{}]", length_rule(0, VALUE_LEN_MAX));
            self.violated(format_args!("'{}'", shown()), "tags", &rule);
        }
        self
    }

    /// The member `tagKeys` of a request.
    pub(in crate::engine) fn tag_keys(&mut self, keys: Option<&Vec<String>>) -> &mut Self {
        let Some(keys) = keys else { return self };
        let shown = || format!("[{}]", keys.join(", "));
        self.members("tagKeys", keys.len(), REQUEST_KEYS_MAX, shown);
        if keys.iter().any(|key| !is_key_len(key)) {
            let rule = format!("Member must satisfy constraint: [{}]", length_rule(1, KEY_LEN_MAX));
            self.violated(format_args!("'{}'", shown()), "tagKeys", &rule);
        }
        self
    }

    fn members(&mut self, path: &str, count: usize, max: usize, shown: impl FnOnce() -> String) {
        let rule = match count {
            0 => "greater than or equal to 1".to_owned(),
            count if count > max => format!("less than or equal to {max}"),
            _ => return,
        };
        let rule = format!("Member must have length {rule}");
        self.violated(format_args!("'{}'", shown()), path, &rule);
    }
}

fn is_key_len(key: &str) -> bool {
    (1..=KEY_LEN_MAX).contains(&key.chars().count())
}

fn length_rule(min: usize, max: usize) -> String {
    format!(
        "Member must have length less than or equal to {max}, Member must have length greater than or equal to {min}"
    )
}

impl Engine {
    /// Refuses tags that cannot be added to a resource that has the tags `present`.
    pub(in crate::engine) fn check_new_tags(
        &self,
        resource: &Resource,
        tags: &BTreeMap<String, String>,
        present: &BTreeMap<String, String>,
    ) -> Result<(), ApiError> {
        let what = format_args!("add tags to {resource}");
        self.check_tag_letters(what, tags.iter().flat_map(|(key, value)| [key, value]))?;
        let is_reserved = |key: &String| {
            let start = key.get(..RESERVED.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
        };
        if tags.keys().any(is_reserved) {
            return Err(self.tag_failure(what, "keys that begin with 'aws:' are reserved."));
        }
        let added = tags.keys().filter(|key| !present.contains_key(*key)).count();
        if present.len() + added > TAGS_MAX {
            let kind = match resource {
                Resource::Stream(_) => "stream",
                Resource::Consumer { .. } => "consumer",
            };
            let reason = format!("a given {kind} cannot have more than {TAGS_MAX} tags associated with it.");
            return Err(self.tag_failure(what, &reason));
        }
        Ok(())
    }

    /// Refuses keys and values that hold what they must not.
    pub(super) fn check_tag_letters<'a>(
        &self,
        what: impl Display,
        texts: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), ApiError> {
        // The service looks twice: what the first look lets pass, the second one may not.
        let mut has_percent = false;
        for letter in texts.into_iter().flat_map(|text| text.chars()) {
            has_percent |= letter == '%';
            let is_space = letter.is_whitespace() && !letter.is_control();
            if !letter.is_alphanumeric() && !is_space && !"_./=+-%@:".contains(letter) {
                return Err(ApiError::invalid(
                    "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / \
                     = + - % @ :.",
                ));
            }
        }
        if has_percent {
            let reason = "some tags contained illegal characters. The allowed characters are Unicode letters, \
                          white-spaces, '_',',','/','=','+','-','@',':'.";
            return Err(self.tag_failure(what, reason));
        }
        Ok(())
    }

    fn tag_failure(&self, what: impl Display, reason: &str) -> ApiError {
        let account = &self.config.account;
        ApiError::invalid(format!("Failed to {what} under account {account} because {reason}"))
    }
}
