use super::*;
use crate::{ids::Session, ids::ShardId};

const NOW: Timestamp = Timestamp::from_epoch_millis(1_357_034_400_000);

fn lease(number: u8, checkpoint: Position, parents: &[u8]) -> Arc<Lease> {
    let id = |number: &u8| ShardId::new(format!("shardId-{number}")).unwrap();
    Arc::new(Lease::new(id(&number), checkpoint).with_parents(parents.iter().map(id)))
}

/// A split, then a merge of its halves; the first two generations are finished.
fn family() -> Vec<Arc<Lease>> {
    vec![
        lease(4, Position::TrimHorizon, &[2, 3]),
        lease(1, Position::ShardEnd, &[]),
        lease(2, Position::ShardEnd, &[1]),
        lease(3, Position::ShardEnd, &[1]),
        lease(5, Position::Latest, &[]),
    ]
}

fn key(number: u8) -> LeaseKey {
    LeaseKey::new(format!("shardId-{number}")).unwrap()
}

fn plan(keys: &[u8], target: &SeekTarget) -> Result<Vec<(LeaseKey, Position)>, SeekRefused> {
    let keys: Vec<LeaseKey> = keys.iter().copied().map(key).collect();
    let moves = plan_seek(&keys, &family(), target, NOW)?;
    Ok(moves
        .into_iter()
        .map(|planned| (planned.lease.key.clone(), planned.to))
        .collect())
}

#[test]
fn given_finished_shards_when_all_that_follows_goes_along_then_parents_are_moved_first() {
    let at = NOW.saturating_sub(Duration::from_secs(60));
    let planned = plan(&[4, 3, 2, 1], &SeekTarget::AtTimestamp(at)).unwrap();
    let order: Vec<LeaseKey> = planned.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(order, [key(1), key(2), key(3), key(4)]);
    assert!(planned.iter().all(|(_, to)| *to == Position::AtTimestamp(at)));
}

#[test]
fn given_a_finished_shard_when_a_grandchild_stays_then_it_is_refused_and_named() {
    let refused = plan(&[1, 2, 3], &SeekTarget::TrimHorizon);
    let (key_, follower) = (key(1), key(4));
    assert_eq!(refused, Err(SeekRefused::FollowersStay { key: key_, follower }));
}

#[test]
fn given_latest_when_planned_then_the_time_stands_for_it_behind_a_parent_and_finished_shards_are_refused() {
    let planned = plan(&[4, 5], &SeekTarget::Latest).unwrap();
    assert_eq!(
        planned,
        [(key(4), Position::AtTimestamp(NOW)), (key(5), Position::Latest)]
    );
    assert_eq!(
        plan(&[1], &SeekTarget::Latest),
        Err(SeekRefused::NothingToCome { key: key(1) })
    );
}

#[test]
fn given_a_merged_shard_when_moved_to_its_oldest_record_then_it_does_not_look_as_if_it_waited_for_a_parent() {
    let planned = plan(&[4, 5], &SeekTarget::TrimHorizon).unwrap();
    assert!(matches!(planned[0], (_, Position::AtTimestamp(at)) if at < NOW));
    assert_eq!(planned[1].1, Position::TrimHorizon);
}

#[test]
fn given_what_cannot_be_when_planned_then_it_is_refused() {
    let number = SeekTarget::After(RecordPosition {
        sequence_number: "7".parse().unwrap(),
        sub_sequence_number: 0,
    });
    assert_eq!(plan(&[4, 5], &number), Err(SeekRefused::OneShardOnly { count: 2 }));
    assert_eq!(
        plan(&[9], &SeekTarget::Latest),
        Err(SeekRefused::Unknown { key: key(9) })
    );
    let at = NOW.saturating_add(Duration::from_secs(61));
    assert_eq!(plan(&[5], &at.into()), Err(SeekRefused::Future { at }));
    assert!(
        plan(&[5], &NOW.saturating_add(Duration::from_secs(59)).into()).is_ok(),
        "clocks differ"
    );
}

#[test]
fn given_a_holder_that_does_not_say_who_it_is_when_checked_then_it_is_to_be_stopped() {
    let mut row = Lease::clone(&lease(1, Position::Latest, &[]));
    assert!(check_holder(&row).is_ok());
    row.owner = Some(WorkerId::new("java").unwrap());
    assert!(matches!(check_holder(&row), Err(SeekRefused::HeldByStranger { .. })));
    row.session = Some(Session(1));
    assert!(check_holder(&row).is_ok());
}

#[test]
fn given_texts_when_read_then_each_form_has_its_meaning() {
    let read = |text: &str| Position::from(text.parse::<SeekTarget>().unwrap());
    assert_eq!(read("trim-horizon"), Position::TrimHorizon);
    assert_eq!(read("LATEST"), Position::Latest);
    assert_eq!(read("495"), Position::after("495".parse().unwrap()));
    assert_eq!(read("495/3").to_string(), "495/3");
    let time = "2013-01-01T10:00:00Z";
    assert_eq!(read(time), Position::AtTimestamp(time.parse().unwrap()));
    for wrong in ["", "0495", "49x", "495/", "yesterday", "SHARD_END"] {
        assert!(wrong.parse::<SeekTarget>().is_err(), "{wrong}");
    }
}
