//! Listing shards, with filters and pages.

use kcl_core::Timestamp;

use super::{
    Engine, Operation, Subject,
    shard::ShardLog,
    stream::Stream,
    streams::start_shard,
    token::{ShardPage, TOKEN_LIFETIME_MS},
    validate::{Constraints, shard_index},
};
use crate::api::{ApiError, ErrorKind, ListShards, ListShardsOutput, ShardFilter, StreamStatus};

const PAGE_MAX: i32 = 1000;
const FILTERS: [&str; 6] = [
    "AFTER_SHARD_ID",
    "AT_LATEST",
    "AT_TIMESTAMP",
    "AT_TRIM_HORIZON",
    "FROM_TIMESTAMP",
    "FROM_TRIM_HORIZON",
];

impl Operation for ListShards {
    const NAME: &'static str = "ListShards";
    type Output = ListShardsOutput;

    fn subject(&self) -> Subject {
        match self.next_token.as_deref().and_then(ShardPage::open) {
            Some(page) => page.subject(),
            None => Subject::stream(self.stream_name.as_ref(), self.stream_arn.as_ref()),
        }
    }

    fn execute(self, engine: &mut Engine, now: Timestamp) -> Result<ListShardsOutput, ApiError> {
        self.check()?;
        let limit = self
            .max_results
            .map_or(PAGE_MAX, |max| max.min(PAGE_MAX))
            .unsigned_abs() as usize;
        let (name, selection, after) = match &self.next_token {
            Some(token) => continued(engine, token, now)?,
            None => {
                let stream = engine.stream(self.stream_name.as_ref(), self.stream_arn.as_ref())?;
                if let Some(created_at) = self.stream_creation_timestamp
                    && !stream.was_created_at(created_at)
                {
                    return Err(engine.no_such_stream(stream.name.as_str()));
                }
                let (selection, after_filter) = Selection::of(self.shard_filter.as_ref())?;
                let after = start_shard(self.exclusive_start_shard_id.as_deref())?.max(after_filter);
                (stream.name.clone(), selection, after)
            }
        };
        engine.trim(&name, now);
        let stream = engine.existing(&name)?;
        engine.require(stream, &[StreamStatus::Active, StreamStatus::Updating])?;
        let as_of = engine.listed_as_of(now);
        let mut selected = selection.apply(stream, after, now, as_of);
        let shards: Vec<_> = selected.by_ref().take(limit).collect();
        let next_token = match shards.last() {
            Some(last) if selected.next().is_some() => Some(
                ShardPage {
                    stream: name,
                    life: stream.life,
                    after: last.index,
                    filter: selection.to_parts(),
                    made_at: now,
                }
                .seal(),
            ),
            _ => None,
        };
        Ok(ListShardsOutput {
            shards: shards.into_iter().map(|shard| shard.described_as_of(as_of)).collect(),
            next_token,
        })
    }
}

impl ListShards {
    fn check(&self) -> Result<(), ApiError> {
        let filter = self.shard_filter.as_ref();
        let mut constraints = Constraints::default();
        constraints
            .stream(self.stream_name.as_ref(), self.stream_arn.as_ref())
            .name("exclusiveStartShardId", self.exclusive_start_shard_id.as_ref())
            .range("maxResults", self.max_results, 1..=10_000);
        if let Some(filter) = filter {
            constraints
                .required("shardFilter.type", filter.kind.as_ref())
                .one_of("shardFilter.type", filter.kind.as_ref(), &FILTERS)
                .name("shardFilter.shardId", filter.shard_id.as_ref());
        }
        constraints.check()?;
        let names_stream = self.stream_name.is_some() || self.stream_arn.is_some();
        match (&self.next_token, names_stream) {
            (Some(_), true) => Err(ApiError::invalid(
                "NextToken and StreamName cannot be provided together.",
            )),
            (None, false) => Err(ApiError::invalid("Either NextToken or StreamName should be provided.")),
            (Some(_), false)
                if filter.is_some()
                    || self.exclusive_start_shard_id.is_some()
                    || self.stream_creation_timestamp.is_some() =>
            {
                Err(ApiError::invalid(
                    "Only MaxResults can be provided together with NextToken.",
                ))
            }
            _ => Ok(()),
        }
    }
}

/// Takes a listing up where `token` says.
fn continued(
    engine: &Engine,
    token: &str,
    now: Timestamp,
) -> Result<(kcl_core::StreamName, Selection, Option<u32>), ApiError> {
    const REFUSAL: &str = "Invalid NextToken.";
    let page = ShardPage::open(token).ok_or_else(|| ApiError::invalid(REFUSAL))?;
    if now.millis_since(page.made_at) > TOKEN_LIFETIME_MS {
        let message = format!(
            "NextToken expired. It was made at {} while right now it is {now}.",
            page.made_at
        );
        return Err(ApiError::new(ErrorKind::ExpiredNextToken, message));
    }
    let stream = engine.stream_of_token(&page.stream, page.life, REFUSAL)?;
    let selection = Selection::from_parts(page.filter).ok_or_else(|| ApiError::invalid(REFUSAL))?;
    Ok((stream.name.clone(), selection, Some(page.after)))
}

/// Which of the retained shards a listing gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selection {
    All,
    Open,
    /// Those that were open at the trim horizon.
    AtHorizon,
    /// Those that were open at this time.
    At(Timestamp),
    /// Those that were open at this time or later.
    From(Timestamp),
}

impl Selection {
    /// The selection that `filter` makes, and the shard after which it begins.
    fn of(filter: Option<&ShardFilter>) -> Result<(Self, Option<u32>), ApiError> {
        let Some(filter) = filter else {
            return Ok((Self::All, None));
        };
        let kind = filter.kind.as_deref().unwrap_or_default();
        let at = || {
            let message = || ApiError::invalid(format!("Timestamp must be provided for ShardFilter of type {kind}."));
            filter.timestamp.ok_or_else(message)
        };
        Ok(match kind {
            "AFTER_SHARD_ID" => {
                let id = filter.shard_id.as_deref().and_then(shard_index);
                let message =
                    || ApiError::invalid("A ShardId must be provided for ShardFilter of type AFTER_SHARD_ID.");
                (Self::All, Some(id.ok_or_else(message)?))
            }
            "AT_LATEST" => (Self::Open, None),
            "AT_TRIM_HORIZON" => (Self::AtHorizon, None),
            "AT_TIMESTAMP" => (Self::At(at()?), None),
            "FROM_TIMESTAMP" => (Self::From(at()?), None),
            _ => (Self::All, None),
        })
    }

    /// The selected shards as they were at the time `as_of`, which is `now` unless the listing is to be stale.
    fn apply(
        self,
        stream: &Stream,
        after: Option<u32>,
        now: Timestamp,
        as_of: Timestamp,
    ) -> impl Iterator<Item = &ShardLog> {
        // Of a parent and its children, which touch, the parent was open at the time at which they touch: then a point
        // in time never selects both, and no record that arrived at that very time is left out.
        let later_generations = match self {
            Self::AtHorizon => stream.retained_children(now),
            Self::At(at) if at < stream.horizon(now) => stream.retained_children(now),
            _ => std::collections::BTreeSet::new(),
        };
        let was_known = move |shard: &&ShardLog| shard.parents.is_empty() || shard.created_at <= as_of;
        let closed_at = move |shard: &ShardLog| shard.closed_at.filter(|closed_at| *closed_at <= as_of);
        let known = stream.retained(after, now).filter(was_known);
        known.filter(move |shard| match self {
            Self::All => true,
            Self::Open => closed_at(shard).is_none(),
            Self::AtHorizon => !later_generations.contains(&shard.index),
            Self::At(at) if at < stream.horizon(now) => !later_generations.contains(&shard.index),
            Self::At(at) => {
                let was_there = shard.parents.is_empty() || shard.created_at < at;
                was_there && closed_at(shard).is_none_or(|closed_at| closed_at >= at)
            }
            Self::From(at) => closed_at(shard).is_none_or(|closed_at| closed_at >= at),
        })
    }

    fn to_parts(self) -> (u8, Timestamp) {
        match self {
            Self::All => (0, Timestamp::default()),
            Self::Open => (1, Timestamp::default()),
            Self::AtHorizon => (2, Timestamp::default()),
            Self::At(at) => (3, at),
            Self::From(at) => (4, at),
        }
    }

    fn from_parts((kind, at): (u8, Timestamp)) -> Option<Self> {
        match kind {
            0 => Some(Self::All),
            1 => Some(Self::Open),
            2 => Some(Self::AtHorizon),
            3 => Some(Self::At(at)),
            4 => Some(Self::From(at)),
            _ => None,
        }
    }
}
