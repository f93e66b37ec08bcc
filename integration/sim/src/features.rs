//! What a fleet makes use of, beyond what every fleet does.

use std::{collections::BTreeSet, fmt, str::FromStr};

use fastrand::Rng;

/// Something that some fleets use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// Shards are read by enhanced fan-out.
    FanOut,
    /// Producers aggregate records.
    Aggregation,
    /// The records of a shard are handled in lanes, by key.
    Lanes,
    /// Shards are paused and go on.
    Pause,
    /// Operators move shards to another place while they are read.
    Seek,
    /// Workers balance what leases weigh.
    Throughput,
    /// Some opens and reads are never answered.
    HungReads,
    /// Records are delivered by rules, and some are given up.
    Delivery,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::FanOut,
        Self::Aggregation,
        Self::Lanes,
        Self::Pause,
        Self::Seek,
        Self::Throughput,
        Self::HungReads,
        Self::Delivery,
    ];

    /// The name, as the command line has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FanOut => "fan-out",
            Self::Aggregation => "aggregation",
            Self::Lanes => "lanes",
            Self::Pause => "pause",
            Self::Seek => "seek",
            Self::Throughput => "throughput",
            Self::HungReads => "hung-reads",
            Self::Delivery => "delivery",
        }
    }

    /// What keeps the draws of one feature apart from those of others, and from everything else that a seed decides.
    const fn salt(self) -> u64 {
        0xfea7_0000 + self as u64
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a fleet uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features(BTreeSet<Feature>);

impl Features {
    /// Whether the fleet uses `feature`.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.0.contains(&feature)
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = Feature> {
        self.0.iter().copied()
    }
}

impl FromIterator<Feature> for Features {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Self {
        Self(features.into_iter().collect())
    }
}

impl fmt::Display for Features {
    /// The names with commas between, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Feature::name).collect();
        f.pad(&if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(",")
        })
    }
}

/// Which lives use what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeatureChoice {
    /// Each feature in a quarter of the lives without workers of Java, as the seed says.
    Drawn,
    /// These in all.
    These(Features),
}

impl Default for FeatureChoice {
    fn default() -> Self {
        Self::These(Features::default())
    }
}

impl FeatureChoice {
    pub(crate) fn draw(&self, seed: u64) -> Features {
        match self {
            Self::Drawn => Feature::ALL
                .into_iter()
                .filter(|feature| Rng::with_seed(seed ^ feature.salt()).u8(..4) == 0)
                .collect(),
            Self::These(features) => features.clone(),
        }
    }
}

impl FromStr for FeatureChoice {
    type Err = String;

    /// Reads `drawn`, `none`, `all`, or names with commas between.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let find = |name: &str| {
            let found = Feature::ALL.into_iter().find(|feature| feature.name() == name);
            found.ok_or_else(|| {
                let names = Feature::ALL.map(Feature::name).join(", ");
                format!("{name:?} is no feature; there are {names}; or use none, all or drawn")
            })
        };
        match text {
            "drawn" => Ok(Self::Drawn),
            "none" => Ok(Self::default()),
            "all" => Ok(Self::These(Feature::ALL.into_iter().collect())),
            names => names.split(',').map(find).collect::<Result<_, _>>().map(Self::These),
        }
    }
}
