//! The streams of a worker, by what they are called and by what they are.
//!
//! A stream is configured by its name or ARN. Which one of all there were under this name is only known once the service has
//! told, and until then it is looked for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kcl_core::{
    InitialPosition, StreamId, StreamName, Tick,
    fetch::{FetchFailure, FetchFailureKind, RetrievalMode, consumer::ConsumerSelector},
    retry::Backoff,
    worker::{self, WorkerFailure},
};

use crate::source::RecordSource;

/// One of several streams that a worker reads.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    pub(crate) source: Arc<dyn RecordSource>,
    pub(crate) id: Option<StreamId>,
    pub(crate) initial_position: Option<InitialPosition>,
    pub(crate) retrieval_mode: Option<RetrievalMode>,
    pub(crate) consumer: Option<ConsumerSelector>,
}

impl StreamConfig {
    /// Reads `source`, which brings its own client: credentials, region and endpoint.
    #[must_use]
    pub fn new(source: impl RecordSource) -> Self {
        Self {
            source: Arc::new(source),
            id: None,
            initial_position: None,
            retrieval_mode: None,
            consumer: None,
        }
    }

    /// Reads its shards like this. By default as the worker's [`Config`](crate::Config::retrieval_mode) says.
    #[must_use]
    pub fn retrieval_mode(mut self, mode: RetrievalMode) -> Self {
        self.retrieval_mode = Some(mode);
        self
    }

    /// Subscribes as this consumer in enhanced fan-out. By default as the worker's [`Config`](crate::Config::consumer) says,
    /// and where that says nothing either, as the one that is named as the application is.
    #[must_use]
    pub fn consumer(mut self, consumer: impl Into<ConsumerSelector>) -> Self {
        self.consumer = Some(consumer.into());
        self
    }

    /// Starts here with shards that nobody has read before. By default where the worker's
    /// [`Config`](crate::Config::initial_position) says.
    #[must_use]
    pub fn initial_position(mut self, position: InitialPosition) -> Self {
        self.initial_position = Some(position);
        self
    }

    /// Says which stream it is, so that the service is not asked: for callers who may not use `DescribeStreamSummary`.
    #[must_use]
    pub fn id(mut self, id: StreamId) -> Self {
        self.id = Some(id);
        self
    }

    /// The stream's name.
    #[must_use]
    pub fn name(&self) -> &StreamName {
        self.source.stream()
    }
}

/// One or more of a worker's streams.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamSelector {
    /// All of this name, in whatever account.
    Name(StreamName),
    /// This one.
    Id(StreamId),
}

impl From<StreamName> for StreamSelector {
    fn from(name: StreamName) -> Self {
        Self::Name(name)
    }
}

impl From<StreamId> for StreamSelector {
    fn from(id: StreamId) -> Self {
        Self::Id(id)
    }
}

/// One of several streams, as its worker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStatus {
    /// Its name.
    pub name: StreamName,
    /// Which one it is; `None` while it is looked for.
    pub id: Option<StreamId>,
    /// Why it is not read, where it is not.
    pub problem: Option<String>,
}

/// Names one entry, for the answer to its look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryId(u64);

#[derive(Debug)]
struct Entry {
    config: StreamConfig,
    /// `None` while it is looked for.
    found: Option<StreamId>,
    /// When to look next; `None` while a look is under way, and once it is found.
    next: Option<Tick>,
    failures: u32,
    problem: Option<String>,
    /// It was read and turned out to be another one, so this one is not wanted again.
    not: Option<StreamId>,
}

impl StreamConfig {
    /// Whether it has this name. Which one of the name it is, need not be known.
    fn is_called(&self, which: &StreamSelector) -> bool {
        match which {
            StreamSelector::Name(name) => self.name() == name,
            StreamSelector::Id(id) => self.id.as_ref() == Some(id),
        }
    }
}

impl Entry {
    /// One that is looked for again may have been given as the one that is meant.
    fn is(&self, which: &StreamSelector) -> bool {
        let is_found = matches!(which, StreamSelector::Id(id) if self.found.as_ref() == Some(id));
        is_found || self.config.is_called(which)
    }
}

/// What the shards of a stream are read through, and how.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) source: Arc<dyn RecordSource>,
    pub(crate) mode: RetrievalMode,
    pub(crate) consumer: ConsumerSelector,
}

/// What is not said of a stream itself.
#[derive(Clone, Debug)]
pub(crate) struct StreamDefaults {
    pub(crate) initial_position: InitialPosition,
    pub(crate) retrieval_mode: RetrievalMode,
    pub(crate) consumer: ConsumerSelector,
    /// How often a stream that does not exist is looked for.
    pub(crate) interval: Duration,
}

/// The streams of a worker: one for its whole life, or several that come and go.
#[derive(Debug)]
pub(crate) struct Streams {
    one: Option<StreamConfig>,
    several: BTreeMap<EntryId, Entry>,
    next_entry: u64,
    defaults: StreamDefaults,
    rng: fastrand::Rng,
}

impl Streams {
    pub(crate) fn one(source: Arc<dyn RecordSource>, defaults: StreamDefaults) -> Self {
        let config = StreamConfig {
            source,
            id: None,
            initial_position: None,
            retrieval_mode: None,
            consumer: None,
        };
        Self {
            one: Some(config),
            ..Self::several(defaults, 0)
        }
    }

    pub(crate) fn several(defaults: StreamDefaults, seed: u64) -> Self {
        Self {
            one: None,
            several: BTreeMap::new(),
            next_entry: 0,
            defaults,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Adds one of several. Says whether it is known by now which one it is.
    pub(crate) fn add(&mut self, now: Tick, config: StreamConfig) -> bool {
        let id = config.id.clone();
        let entry = EntryId(self.next_entry);
        self.next_entry += 1;
        self.several.insert(
            entry,
            Entry {
                config,
                found: None,
                next: Some(now),
                failures: 0,
                problem: None,
                not: None,
            },
        );
        match id {
            Some(id) => self.looked(now, entry, Ok(id)),
            None => false,
        }
    }

    /// Takes streams out. Says how many there were.
    pub(crate) fn remove(&mut self, which: &StreamSelector) -> usize {
        let before = self.several.len();
        self.several.retain(|_, entry| !entry.is(which));
        before - self.several.len()
    }

    /// Which of several a selector names, of those that were found.
    pub(crate) fn selected(&self, which: &StreamSelector) -> Vec<StreamId> {
        let named = self.several.values().filter(|entry| match which {
            StreamSelector::Name(name) => entry.config.name() == name,
            StreamSelector::Id(id) => entry.found.as_ref() == Some(id),
        });
        named.filter_map(|entry| entry.found.clone()).collect()
    }

    /// What to read a stream through; an application of one stream calls it `None`.
    pub(crate) fn source(&self, stream: Option<&StreamId>) -> Option<Arc<dyn RecordSource>> {
        self.config(stream).map(|config| Arc::clone(&config.source))
    }

    /// How to read a stream's shards.
    pub(crate) fn reading(&self, stream: Option<&StreamId>) -> Option<Reading> {
        self.config(stream).map(|config| self.reading_of(config))
    }

    fn config(&self, stream: Option<&StreamId>) -> Option<&StreamConfig> {
        let Some(stream) = stream else {
            return self.one.as_ref();
        };
        let mut entries = self.several.values();
        let entry = entries.find(|entry| entry.found.as_ref() == Some(stream))?;
        Some(&entry.config)
    }

    fn reading_of(&self, config: &StreamConfig) -> Reading {
        Reading {
            source: Arc::clone(&config.source),
            mode: config.retrieval_mode.unwrap_or(self.defaults.retrieval_mode),
            consumer: config.consumer.as_ref().unwrap_or(&self.defaults.consumer).clone(),
        }
    }

    /// Reads streams like this from now on. Gives how each of them is read.
    pub(crate) fn set_retrieval(&mut self, which: &StreamSelector, mode: RetrievalMode) -> Vec<Reading> {
        let one = self.one.iter_mut().filter(|config| config.is_called(which));
        let several = self.several.values_mut().filter(|entry| entry.is(which));
        for config in one.chain(several.map(|entry| &mut entry.config)) {
            config.retrieval_mode = Some(mode);
        }
        let one = self.one.iter().filter(|config| config.is_called(which));
        let several = self.several.values().filter(|entry| entry.is(which));
        let configs = one.chain(several.map(|entry| &entry.config));
        configs.map(|config| self.reading_of(config)).collect()
    }

    /// The streams that were found.
    pub(crate) fn found(&self) -> Vec<worker::StreamConfig> {
        let config = |entry: &Entry| {
            Some(worker::StreamConfig {
                id: entry.found.clone()?,
                initial_position: entry.config.initial_position.unwrap_or(self.defaults.initial_position),
            })
        };
        self.several.values().filter_map(config).collect()
    }

    pub(crate) fn next_look(&self) -> Option<Tick> {
        self.several.values().filter_map(|entry| entry.next).min()
    }

    /// The streams to look for now. Each is to be answered with [`looked`](Self::looked).
    pub(crate) fn due(&mut self, now: Tick) -> Vec<(EntryId, Arc<dyn RecordSource>)> {
        let due = self
            .several
            .iter_mut()
            .filter(|(_, entry)| entry.next.is_some_and(|at| at <= now));
        due.map(|(id, entry)| {
            entry.next = None;
            (*id, Arc::clone(&entry.config.source))
        })
        .collect()
    }

    /// The service told which stream it is, or did not. Says whether there is a stream to read more.
    pub(crate) fn looked(&mut self, now: Tick, id: EntryId, result: Result<StreamId, FetchFailure>) -> bool {
        let taken = result.as_ref().is_ok_and(|stream| self.source(Some(stream)).is_some());
        let Some(entry) = self.several.get_mut(&id).filter(|entry| entry.found.is_none()) else {
            return false;
        };
        let name = entry.config.name();
        match result {
            Ok(stream) if taken => {
                tracing::warn!(%stream, "the stream is read already; it is added once");
                self.several.remove(&id);
                false
            }
            Ok(stream) if entry.not.as_ref() == Some(&stream) => {
                // What is wrong stays wrong until there is another stream of this name.
                entry.next = Some(now + self.defaults.interval);
                false
            }
            Ok(stream) => {
                (entry.found, entry.problem, entry.failures) = (Some(stream), None, 0);
                true
            }
            Err(failure) => {
                entry.failures = entry.failures.saturating_add(1);
                let wait = match failure.kind {
                    FetchFailureKind::NotFound | FetchFailureKind::Denied => self.defaults.interval,
                    _ => Backoff::SERVICE
                        .wait(entry.failures, &mut self.rng)
                        .min(self.defaults.interval),
                };
                entry.next = Some(now + wait);
                let (message, retry_in_ms) = (failure.message, wait.as_millis());
                if entry.problem.as_ref() == Some(&message) {
                    tracing::debug!(stream = %name, %message, retry_in_ms, "the stream cannot be found");
                } else {
                    tracing::warn!(stream = %name, %message, retry_in_ms, "the stream cannot be found, it is looked for again");
                }
                entry.problem = Some(message);
                false
            }
        }
    }

    /// The worker gave a stream up. It may have been created again by now, or will be.
    pub(crate) fn lost(&mut self, now: Tick, stream: &StreamId, failure: &WorkerFailure) {
        let lost = self
            .several
            .values_mut()
            .find(|entry| entry.found.as_ref() == Some(stream));
        if let Some(entry) = lost {
            entry.found = None;
            entry.next = Some(now);
            entry.problem = Some(failure.to_string());
            let is_gone = matches!(failure, WorkerFailure::StreamNotFound { .. });
            entry.not = (!is_gone).then(|| stream.clone());
        }
    }

    pub(crate) fn status(&self) -> Vec<StreamStatus> {
        let status = |entry: &Entry| StreamStatus {
            name: entry.config.name().clone(),
            id: entry.found.clone(),
            problem: entry.problem.clone(),
        };
        self.several.values().map(status).collect()
    }
}
