//! Which subscriptions there are, who follows which shard, and for whom something has happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use kcl_core::{StreamName, Timestamp};

use crate::engine::{limits::Bucket, token::Life};

/// How long a subscription lasts.
pub(super) const LIFETIME: Duration = Duration::from_mins(5);
/// How long after a success the same consumer cannot subscribe to the same shard again.
const SETTLED_AFTER: Duration = Duration::from_secs(5);
/// Below so many entries nothing is swept.
const SWEEP_MIN: usize = 64;

/// One subscription of an [`Engine`](crate::Engine): what [`SubscribeToShard`](crate::api::SubscribeToShard) answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(u64);

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What can have one subscription at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) stream: StreamName,
    pub(super) shard: u32,
    pub(super) consumer: String,
    /// Tells a consumer from an earlier one of its name.
    pub(super) registered_at: Timestamp,
}

/// A subscription that has not ended.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) place: Place,
    pub(super) life: Life,
    pub(super) began_at: Timestamp,
    /// The counter of the first record that was not given.
    pub(super) next: u64,
    /// When an event is given even if there is nothing to tell.
    pub(super) event_due_at: Timestamp,
    /// Whether it was told that there is nothing to give.
    waits: bool,
}

impl Subscription {
    pub(super) fn ends_at(&self) -> Timestamp {
        self.began_at.saturating_add(LIFETIME)
    }
}

/// The last success at a place.
#[derive(Debug)]
struct Latest {
    id: SubscriptionId,
    life: Life,
    began_at: Timestamp,
    /// What the consumer has read from the shard lately, whichever subscription gave it.
    bucket: Bucket,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(in crate::engine) struct Subscriptions {
    made: u64,
    live: BTreeMap<SubscriptionId, Subscription>,
    latest: BTreeMap<Place, Latest>,
    woken: BTreeSet<SubscriptionId>,
    /// At how many entries those that no longer count are swept out.
    sweep_at: usize,
}

impl Subscriptions {
    /// Whether the place has been taken so recently that it cannot be taken over.
    pub(super) fn is_held(&self, place: &Place, life: Life, now: Timestamp) -> bool {
        let latest = self.latest.get(place).filter(|latest| latest.life == life);
        latest.is_some_and(|latest| !latest.is_settled(now))
    }

    /// Begins a subscription that reads from the counter `next` on, and takes the place from the one that had it.
    pub(super) fn begin(&mut self, place: Place, life: Life, next: u64, now: Timestamp) -> SubscriptionId {
        self.sweep(now);
        self.made += 1;
        let id = SubscriptionId(self.made);
        let before = self.latest.get(&place).map(|latest| (latest.id, latest.bucket));
        let latest = Latest {
            id,
            life,
            began_at: now,
            bucket: before.map(|(_, bucket)| bucket).unwrap_or_default(),
        };
        self.latest.insert(place.clone(), latest);
        if let Some((before, _)) = before {
            self.wake(before);
        }
        let subscription = Subscription {
            place,
            life,
            began_at: now,
            next,
            event_due_at: now,
            waits: false,
        };
        self.live.insert(id, subscription);
        id
    }

    pub(super) fn get(&self, id: SubscriptionId) -> Option<&Subscription> {
        self.live.get(&id)
    }

    /// Whether another subscription has taken its place.
    pub(super) fn is_taken_over(&self, id: SubscriptionId, place: &Place) -> bool {
        self.latest.get(place).is_none_or(|latest| latest.id != id)
    }

    /// The bucket of the place.
    pub(super) fn bucket(&self, place: &Place) -> Bucket {
        self.latest.get(place).map(|latest| latest.bucket).unwrap_or_default()
    }

    /// Notes that an event was given: what it left in the bucket, where reading goes on, when the next event is due.
    pub(super) fn gave(&mut self, id: SubscriptionId, bucket: Bucket, next: u64, event_due_at: Timestamp) {
        if let Some(subscription) = self.live.get_mut(&id) {
            subscription.next = next;
            subscription.event_due_at = event_due_at;
            if let Some(latest) = self.latest.get_mut(&subscription.place) {
                latest.bucket = bucket;
            }
        }
    }

    /// Notes that there was nothing to give.
    pub(super) fn waits(&mut self, id: SubscriptionId) {
        if let Some(subscription) = self.live.get_mut(&id) {
            subscription.waits = true;
        }
    }

    /// Forgets a subscription, but not when it began: its place cannot be taken at once for all that.
    pub(super) fn end(&mut self, id: SubscriptionId) {
        self.live.remove(&id);
        self.woken.remove(&id);
    }

    /// Wakes those that wait for something in the shard.
    pub(in crate::engine) fn wake_shard(&mut self, stream: &StreamName, shard: u32) {
        self.wake_from(stream, shard, |place| &place.stream == stream && place.shard == shard);
    }

    /// Wakes those that wait for something in the stream.
    pub(in crate::engine) fn wake_stream(&mut self, stream: &StreamName) {
        self.wake_from(stream, 0, |place| &place.stream == stream);
    }

    fn wake_from(&mut self, stream: &StreamName, shard: u32, concerns: impl Fn(&Place) -> bool) {
        if self.live.is_empty() {
            return;
        }
        let first = Place {
            stream: stream.clone(),
            shard,
            consumer: String::new(),
            registered_at: Timestamp::default(),
        };
        let places = self.latest.range(first..).take_while(|(place, _)| concerns(place));
        for (_, latest) in places {
            wake(&mut self.live, &mut self.woken, latest.id);
        }
    }

    fn wake(&mut self, id: SubscriptionId) {
        wake(&mut self.live, &mut self.woken, id);
    }

    pub(super) fn take_woken(&mut self) -> BTreeSet<SubscriptionId> {
        std::mem::take(&mut self.woken)
    }

    /// Sweeps out what no longer counts, each time that as much has come in as was left.
    ///
    /// Readers say when they stop; those that do not are here for what remains of their time.
    fn sweep(&mut self, now: Timestamp) {
        if self.live.len() + self.latest.len() < self.sweep_at.max(SWEEP_MIN) {
            return;
        }
        let (live, woken) = (&mut self.live, &mut self.woken);
        live.retain(|_, subscription| now < subscription.ends_at());
        woken.retain(|id| live.contains_key(id));
        self.latest
            .retain(|_, latest| live.contains_key(&latest.id) || !latest.is_settled(now));
        self.sweep_at = 2 * (live.len() + self.latest.len());
    }
}

impl Latest {
    fn is_settled(&self, now: Timestamp) -> bool {
        now >= self.began_at.saturating_add(SETTLED_AFTER)
    }
}

fn wake(live: &mut BTreeMap<SubscriptionId, Subscription>, woken: &mut BTreeSet<SubscriptionId>, id: SubscriptionId) {
    if let Some(subscription) = live.get_mut(&id).filter(|subscription| subscription.waits) {
        subscription.waits = false;
        woken.insert(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Life = Life {
        serial: 1,
        created_at: Timestamp::from_epoch_millis(0),
    };

    fn place(shard: u32, consumer: &str) -> Place {
        Place {
            stream: StreamName::new("rides").unwrap(),
            shard,
            consumer: consumer.to_owned(),
            registered_at: Timestamp::from_epoch_millis(0),
        }
    }

    #[test]
    fn readers_that_come_and_go_leave_nothing_behind() {
        let mut table = Subscriptions::default();
        for shard in 0..10_000 {
            let now = Timestamp::from_epoch_millis(i64::from(shard) * 1_000);
            let id = table.begin(place(shard, "billing"), LIFE, 0, now);
            table.end(id);
        }
        assert_eq!(table.live.len(), 0);
        assert!(table.latest.len() <= SWEEP_MIN, "{}", table.latest.len());
    }

    #[test]
    fn readers_that_are_silently_gone_stay_for_five_minutes() {
        let mut table = Subscriptions::default();
        for turn in 0..10_000 {
            let now = Timestamp::from_epoch_millis(i64::from(turn) * 5_000);
            let id = table.begin(place(0, "billing"), LIFE, 0, now);
            table.waits(id);
            table.wake_shard(&place(0, "").stream, 0);
        }
        // Five minutes are sixty turns.
        assert!(table.live.len() <= 2 * 60 + SWEEP_MIN, "{}", table.live.len());
        assert!(table.woken.len() <= table.live.len());
        assert_eq!(table.latest.len(), 1);
    }

    #[test]
    fn what_still_counts_is_not_swept() {
        let mut table = Subscriptions::default();
        let now = Timestamp::from_epoch_millis(0);
        let first = table.begin(place(0, "billing"), LIFE, 7, now);
        for shard in 1..1_000 {
            table.begin(place(shard, "billing"), LIFE, 0, now);
        }
        assert_eq!(table.get(first).map(|subscription| subscription.next), Some(7));
        assert!(table.is_held(&place(0, "billing"), LIFE, now));
        assert!(!table.is_taken_over(first, &place(0, "billing")));
    }
}
