//! Records that leave when their time is over, whatever was changed meanwhile.

use std::time::Duration;

use kcl_core::Timestamp;
use proptest::prelude::*;

use crate::{
    polling::World,
    stream::{Change, Stream, change, transition},
};

#[derive(Clone, Debug)]
enum Step {
    Change(Change),
    Wait(Duration),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => change().prop_map(Step::Change),
        2 => (0..12_u64).prop_map(|hours| Step::Wait(Duration::from_hours(hours))),
        1 => (0..3000_u64).prop_map(|millis| Step::Wait(Duration::from_millis(millis))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// A record is there if at no time since it arrived it was older than the retention at that time.
    #[test]
    fn what_is_retained_is_reachable_once_and_in_order_and_nothing_else_is(
        shards in 1..4,
        transition in transition(),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut stream = Stream::new(shards, transition);
        let mut horizon = Timestamp::from_epoch_millis(i64::MIN);
        for step in &steps {
            match step {
                Step::Change(change) => stream.make(change),
                Step::Wait(duration) => stream.pass(*duration),
            }
            horizon = horizon.max(stream.now.saturating_sub(stream.retention()));
        }
        let mut world = World::new(stream);
        world.drain();
        world.stream.check_reading_since(horizon)?;
    }
}
