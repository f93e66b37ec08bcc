//! A peer alone against a table and a shard that do what the test says.

use std::{sync::Arc, time::Duration};

use kcl_core::{
    Batch, ChildShard, Lease, Position, Record, SequenceNumber, Session, StreamName, Tick, Timestamp, fetch::Fetch,
};

use super::{
    Config, Effect, Input, Kind, Peer,
    fixtures::{FAILOVER, id, shard},
};
use crate::servers::Table;

fn free(index: usize) -> Lease {
    Lease::new(shard(index), Position::TrimHorizon)
}

/// A peer, its table, and what it did besides asking the table.
struct World {
    peer: Peer,
    table: Table,
    now: Duration,
    others: Vec<Effect>,
}

impl World {
    fn new(kind: Kind, leases: Vec<Lease>) -> Self {
        let config = Config {
            id: id("me"),
            kind,
            failover: FAILOVER,
            idle: Duration::from_secs(1),
            measures_cpu: true,
        };
        let mut table = Table::default();
        for lease in leases {
            table.rows.insert(lease.key.clone(), Arc::new(lease));
        }
        Self {
            peer: Peer::new(config, Tick::ZERO, Timestamp::from_epoch_millis(0), 1),
            table,
            now: Duration::ZERO,
            others: Vec::new(),
        }
    }

    fn tell(&mut self, input: Input) {
        let wall = Timestamp::from_epoch_millis(i64::try_from(self.now.as_millis()).unwrap());
        self.peer.handle(Tick::from_origin(self.now), wall, input);
        while let Some(effect) = self.peer.poll_effect() {
            match effect {
                Effect::Ask { op, request } => {
                    let answer = Some(self.table.call(&request));
                    self.tell(Input::Table { op, answer });
                }
                other => self.others.push(other),
            }
        }
    }

    /// Wakes the peer whenever it wants to be woken, for so long.
    fn live(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while let Some(at) = self
            .peer
            .next_deadline()
            .map(Tick::since_origin)
            .filter(|at| *at <= until)
        {
            self.now = self.now.max(at);
            self.tell(Input::Wake);
        }
        self.now = until;
        self.tell(Input::Wake);
    }

    fn row(&self, index: usize) -> &Lease {
        &self.table.rows[shard(index).as_str()]
    }

    fn change(&mut self, index: usize, change: impl FnOnce(&mut Lease)) {
        let row = self.table.rows.get_mut(shard(index).as_str()).unwrap();
        change(Arc::make_mut(row));
    }

    fn reader(&self) -> u64 {
        let opened = |effect: &Effect| match effect {
            Effect::Open { reader, .. } => Some(*reader),
            _ => None,
        };
        self.others.iter().rev().find_map(opened).expect("it reads")
    }
}

fn record(number: u32) -> Record {
    let number = SequenceNumber::new(number.to_string()).unwrap();
    Record::new(number, "key", Timestamp::from_epoch_millis(0), vec![1_u8])
}

fn fetch(numbers: &[u32], end: Option<Vec<ChildShard>>) -> Fetch {
    let records = numbers.iter().map(|number| record(*number)).collect();
    let batch = Batch::new(StreamName::new("stream").unwrap(), shard(0), records);
    Fetch {
        batch,
        end,
        continuation: None,
    }
}

#[test]
fn a_taker_takes_what_is_free_renews_it_and_knows_no_session() {
    let mut free = free(0);
    free.session = Some(Session(3));
    let mut world = World::new(Kind::TwoX, vec![free]);
    world.live(20);
    assert_eq!(world.row(0).owner, Some(id("me")));
    assert_eq!(world.row(0).session, None);
    assert!(world.row(0).counter >= 6, "it renews each third of the failover time");
}

#[test]
fn a_peer_of_2x_hears_no_request_and_one_of_3x_passes_on() {
    for (kind, holder) in [(Kind::TwoX, "me"), (Kind::ThreeX, "other")] {
        let mut mine = free(0);
        mine.owner = Some(id("me"));
        let mut world = World::new(kind, vec![mine]);
        world.live(5);
        world.change(0, |row| {
            (row.owner, row.checkpoint_owner) = (Some(id("other")), Some(id("me")));
        });
        world.live(8);
        assert_eq!(world.row(0).holder(), Some(&id(holder)), "{kind:?}");
    }
}

#[test]
fn a_receiver_waits_until_the_giver_is_done() {
    let mut given = free(0);
    (given.owner, given.checkpoint_owner) = (Some(id("me")), Some(id("other")));
    let mut world = World::new(Kind::ThreeX, vec![given]);
    world.live(12);
    assert!(world.peer.reads().next().is_none());
    world.change(0, |row| row.checkpoint_owner = None);
    world.live(12);
    assert!(world.peer.reads().next().is_some());
}

#[test]
fn a_lease_that_another_took_is_dropped_at_the_next_renewal() {
    let mut world = World::new(Kind::TwoX, vec![free(0)]);
    world.live(5);
    assert_eq!(world.peer.reads().count(), 1);
    world.change(0, |row| (row.owner, row.counter) = (Some(id("other")), row.counter + 1));
    world.live(4);
    assert_eq!(world.peer.reads().count(), 0);
}

#[test]
fn it_leads_when_nobody_does_and_gives_itself_what_is_free() {
    let mut world = World::new(Kind::ThreeX, vec![free(0)]);
    world.live(60);
    assert_eq!(
        world.table.coordination.leader.as_ref().map(|lock| &lock.owner),
        Some(&id("me"))
    );
    assert_eq!(world.row(0).owner, Some(id("me")));
    assert_eq!(world.table.coordination.workers.len(), 1);
}

#[test]
fn the_end_of_a_shard_is_committed_after_its_children_have_leases() {
    let mut world = World::new(Kind::TwoX, vec![free(0)]);
    world.live(1);
    let reader = world.reader();
    world.tell(Input::Opened {
        reader,
        result: Ok("iterator".to_owned()),
    });
    let children = [1, 2].map(|index| ChildShard {
        id: shard(index),
        parents: vec![shard(0)],
        hash_key_range: None,
    });
    let result = Ok((fetch(&[1, 2], Some(children.to_vec())), None));
    world.tell(Input::Fetched { reader, result });
    assert!(!world.row(0).is_finished(), "two records are not handled");
    world.tell(Input::Handled { reader });
    world.live(1);
    assert!(world.row(0).is_finished());
    assert_eq!(world.row(0).owner, Some(id("me")), "Java keeps what it finished");
    assert_eq!(world.row(0).children, [shard(1), shard(2)]);
    assert_eq!(world.row(1).checkpoint, Position::TrimHorizon);
    assert_eq!(world.row(1).parents, [shard(0)]);
}

#[test]
fn a_child_is_not_read_before_its_parent_is_done() {
    let child = free(1).with_parents([shard(0)]);
    let mut parent = free(0);
    (parent.owner, parent.counter) = (Some(id("other")), 1);
    let mut world = World::new(Kind::TwoX, vec![parent, child]);
    world.live(5);
    assert_eq!(world.row(1).owner, Some(id("me")));
    let begun = |world: &World| world.others.iter().any(|effect| matches!(effect, Effect::Begin { .. }));
    assert!(!begun(&world));
    world.change(0, |row| (row.checkpoint, row.counter) = (Position::ShardEnd, 2));
    world.live(10);
    assert!(begun(&world));
}

#[test]
fn a_lost_answer_to_a_renewal_is_no_lost_lease() {
    let mut world = World::new(Kind::TwoX, vec![free(0)]);
    world.live(1);
    world.change(0, |row| row.counter += 1);
    world.live(8);
    assert_eq!(world.peer.reads().count(), 1);
}

#[test]
fn an_empty_table_is_filled_after_a_while() {
    let mut world = World::new(Kind::TwoX, Vec::new());
    world.live(40);
    let lists = world
        .others
        .iter()
        .filter(|effect| matches!(effect, Effect::ListShards))
        .count();
    assert!(lists >= 1);
    let range = kcl_core::HashKeyRange::FULL;
    world.tell(Input::Shards(Some(vec![kcl_core::Shard::new(shard(0), range)])));
    assert_eq!(world.row(0).hash_key_range, Some(range));
    assert_eq!(world.table.rows.len(), 1);
}

#[test]
fn a_peer_that_stops_leaves_its_leases_as_they_are() {
    let mut world = World::new(Kind::TwoX, vec![free(0)]);
    world.live(5);
    world.tell(Input::Shutdown);
    assert!(world.others.iter().any(|effect| matches!(effect, Effect::Exit)));
    assert_eq!(world.row(0).owner, Some(id("me")));
}
