use std::time::Duration;

use super::LeaseWatch;
use crate::{
    ids::{Session, ShardId, WorkerId},
    lease::{Lease, LeaseWrite},
    sequence::Position,
    time::Tick,
};

const FAILOVER: Duration = Duration::from_secs(10);

fn at(seconds: u64) -> Tick {
    Tick::from_origin(Duration::from_secs(seconds))
}

fn free() -> Lease {
    Lease::new(ShardId::new("shard").unwrap(), Position::TrimHorizon)
}

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

fn held() -> Lease {
    LeaseWrite::take(&free(), &worker("a"), Session(1)).patch.apply(&free())
}

fn look(watch: &mut LeaseWatch, now: Tick, lease: &Lease) {
    watch.observe(now, std::slice::from_ref(lease));
}

#[test]
fn given_a_held_lease_when_first_seen_then_it_gets_a_whole_failover_time() {
    let (mut watch, lease) = (LeaseWatch::default(), held());
    assert!(!watch.is_expired(at(100), &lease, FAILOVER));
    look(&mut watch, at(100), &lease);
    look(&mut watch, at(110), &lease);
    assert!(!watch.is_expired(at(110), &lease, FAILOVER));
    look(&mut watch, at(111), &lease);
    assert!(watch.is_expired(at(111), &lease, FAILOVER));
    assert_eq!(watch.unchanged_for(at(111), &lease), Some(Duration::from_secs(11)));
}

#[test]
fn given_renewals_when_watched_then_the_lease_never_expires() {
    let (mut watch, mut lease) = (LeaseWatch::default(), held());
    for second in 0..100 {
        if second % 9 == 0 {
            lease = LeaseWrite::renew(&lease, None).patch.apply(&lease);
        }
        look(&mut watch, at(second), &lease);
        assert!(!watch.is_expired(at(second), &lease, FAILOVER));
    }
}

#[test]
fn given_a_hand_off_request_when_the_holder_is_gone_then_the_age_goes_on() {
    let (mut watch, lease) = (LeaseWatch::default(), held());
    look(&mut watch, at(0), &lease);
    let asked = LeaseWrite::request_hand_off(&lease, &worker("b")).patch.apply(&lease);
    look(&mut watch, at(9), &asked);
    assert!(!watch.is_expired(at(9), &asked, FAILOVER));
    look(&mut watch, at(11), &asked);
    assert!(watch.is_expired(at(11), &asked, FAILOVER));
}

#[test]
fn given_a_free_lease_when_it_lies_about_then_it_ages_and_is_not_expired() {
    let (mut watch, lease) = (LeaseWatch::default(), free());
    look(&mut watch, at(0), &lease);
    look(&mut watch, at(60), &lease);
    assert!(!watch.is_expired(at(60), &lease, FAILOVER));
    assert_eq!(watch.unchanged_for(at(60), &lease), Some(Duration::from_secs(60)));
}

#[test]
fn given_no_look_at_the_table_when_time_passes_then_nobody_is_taken_for_gone() {
    let (mut watch, lease) = (LeaseWatch::default(), held());
    look(&mut watch, at(0), &lease);
    assert!(!watch.is_expired(at(60), &lease, FAILOVER));
    look(&mut watch, at(61), &lease);
    assert!(watch.is_expired(at(61), &lease, FAILOVER));
}

#[test]
fn given_a_row_newer_than_the_last_look_when_judged_then_it_lives() {
    let (mut watch, lease) = (LeaseWatch::default(), held());
    look(&mut watch, at(0), &lease);
    look(&mut watch, at(20), &lease);
    let renewed = LeaseWrite::renew(&lease, None).patch.apply(&lease);
    assert!(watch.is_expired(at(20), &lease, FAILOVER));
    assert!(!watch.is_expired(at(20), &renewed, FAILOVER));
}

#[test]
fn given_a_row_that_vanished_when_it_comes_back_then_it_counts_anew() {
    let (mut watch, lease) = (LeaseWatch::default(), held());
    look(&mut watch, at(0), &lease);
    watch.observe::<Lease>(at(5), &[]);
    assert_eq!(watch.unchanged_for(at(5), &lease), None);
    look(&mut watch, at(11), &lease);
    assert!(!watch.is_expired(at(11), &lease, FAILOVER));
}

#[test]
fn given_history_when_forgotten_then_every_lease_counts_anew() {
    let (mut watch, lease) = (LeaseWatch::default(), held());
    look(&mut watch, at(0), &lease);
    watch.forget_history();
    look(&mut watch, at(60), &lease);
    assert!(!watch.is_expired(at(60), &lease, FAILOVER));
}

#[test]
fn given_an_old_scan_when_the_row_is_known_to_be_newer_then_nothing_is_known_of_its_age() {
    let (mut watch, old) = (LeaseWatch::default(), held());
    look(&mut watch, at(0), &old);
    look(&mut watch, at(60), &old);
    let mut newer = old.clone();
    newer.counter += 1;
    assert_eq!(watch.unchanged_for(at(60), &newer), None);
    assert_eq!(watch.unchanged_for(at(60), &old), Some(Duration::from_secs(60)));
}

#[test]
fn given_rows_in_any_order_when_judged_together_then_each_is_judged_as_alone() {
    let row = |name: &str| {
        let free = Lease::new(ShardId::new(name).unwrap(), Position::TrimHorizon);
        LeaseWrite::take(&free, &worker("a"), Session(1)).patch.apply(&free)
    };
    let (gone, new, free) = (row("b"), row("a"), free());
    let renewed = |lease: &Lease| LeaseWrite::renew(lease, None).patch.apply(lease);
    let mut alive = row("c");
    let mut watch = LeaseWatch::default();
    watch.observe(at(0), &[alive.clone(), gone.clone()]);
    alive = renewed(&alive);
    watch.observe(at(4), &[gone.clone(), alive.clone()]);
    watch.observe(at(11), &[new.clone(), gone.clone(), free.clone(), alive.clone()]);
    for order in [[&new, &gone, &alive, &free], [&free, &alive, &gone, &new]] {
        let (expired, next) = watch.expiries(at(11), order, FAILOVER);
        assert_eq!(expired, [&gone]);
        // `alive` was seen to move at 4, and is gone if it does not move until 14.
        assert_eq!(next, Some(at(14) + Duration::from_millis(1)));
        for lease in order {
            assert_eq!(watch.is_expired(at(11), lease, FAILOVER), expired.contains(&lease));
        }
    }
}

#[test]
fn given_a_holder_that_renews_less_often_than_an_observer_expects_when_watched_then_it_is_given_its_own_time() {
    let mut lease = held();
    lease.failover_time = Some(Duration::from_secs(30));
    let mut watch = LeaseWatch::default();
    watch.observe(at(0), std::slice::from_ref(&lease));
    watch.observe(at(29), std::slice::from_ref(&lease));
    assert!(!watch.is_expired(at(29), &lease, FAILOVER));
    assert_eq!(
        watch.expiries(at(29), [&lease], FAILOVER),
        (vec![], Some(at(30) + Duration::from_millis(1)))
    );
    watch.observe(at(31), std::slice::from_ref(&lease));
    assert!(watch.is_expired(at(31), &lease, FAILOVER));
    // Java took the lease since: what the owner before it said is void.
    lease.session = None;
    assert_eq!(lease.patience(FAILOVER), FAILOVER);
}

#[test]
fn given_a_row_that_asks_for_more_time_than_anybody_may_have_when_watched_then_it_gets_an_hour() {
    let mut lease = held();
    lease.failover_time = Some(Duration::from_secs(u64::MAX));
    assert_eq!(lease.patience(FAILOVER), Duration::from_secs(3600));
}
