//! The promises that show only in the fleet as a whole; those of single writes are in [`World`].

use super::*;

impl Fleet {
    /// Order, and that only the holder of a lease has its records delivered.
    pub(super) fn check_call(&mut self, life: u64, tenure: TenureId, call: &Call) {
        let node = self.nodes.get_mut(&life).unwrap();
        let consumer = node.consumers.get_mut(&tenure).unwrap();
        assert!(consumer.call.is_none(), "two calls at once");
        let Call::Process { batch, .. } = call else { return };
        let shard = consumer.shard;
        let first = self.world.covered(shard, &Position::Record(batch[0].position())) - 1;
        let expected = *consumer.expected.get_or_insert(first);
        assert_eq!(
            first, expected,
            "order: tenure {tenure} of {} in shard {shard}",
            node.id
        );
        let row = &self.world.table[&self.world.shards[shard].key];
        // Under one id, the newer life takes what the older one still reads; the older one notices at its next renewal.
        let same = row.holder() == Some(&node.id) && row.session == Some(node.session);
        assert!(
            same || node.superseded,
            "single-owner: {} delivers what {:?} holds: {row:?}",
            node.id,
            row.holder()
        );
        self.world.delivered(shard);
    }

    pub(super) fn drained(&mut self, life: u64, tenure: TenureId, finish: &Finish) {
        let node = self.nodes.get_mut(&life).unwrap();
        let consumer = &node.consumers[&tenure];
        if *finish == Finish::Drained {
            let key = self.world.shards[consumer.shard].key.clone();
            node.drained.insert(key, (tenure, consumer.handled));
        }
    }

    /// Bounded replay: a lease whose consumer ended in peace is given back at what was handled, so nothing is repeated.
    pub(super) fn check_event(&mut self, life: u64, event: &WorkerEvent) {
        let drained = &mut self.nodes.get_mut(&life).unwrap().drained;
        let (WorkerEvent::LeaseReleased { key, checkpoint } | WorkerEvent::HandOffFinished { key, checkpoint, .. }) =
            event
        else {
            if let WorkerEvent::LeaseLost { key, .. } | WorkerEvent::LeaseTaken { key, .. } = event {
                drained.remove(key);
            }
            return;
        };
        if let Some((tenure, handled)) = drained.remove(key) {
            let shard = self.world.shard_of(key);
            let kept = if *checkpoint == Position::Latest {
                0
            } else {
                self.world.covered(shard, checkpoint)
            };
            assert!(
                kept >= handled,
                "bounded-replay: tenure {tenure} handled {handled} and gave {key} back at {kept}: {checkpoint}"
            );
        }
    }

    /// Single-owner: every lease that can be read has a holder that lives, and that one's only.
    pub(super) fn check_owners(&self) {
        for lease in self.world.table.values() {
            if lease.is_finished() || !lineage::is_ready(lease, &self.world.table) {
                continue;
            }
            let holds = |node: &&Node| lease.holder() == Some(&node.id) && node.machine.held.contains_key(&lease.key);
            let passing =
                lease.session.is_none() && self.nodes.values().any(|node| lease.owner.as_ref() == Some(&node.id));
            let holders = self.nodes.values().filter(holds).count();
            assert!(
                holders == 1 || passing,
                "single-owner: {holders} hold {lease:?} at {}",
                self.world.now
            );
        }
    }

    pub(super) fn check_end(&self, updates: u64) {
        for (i, shard) in self.world.shards.iter().enumerate() {
            let (all, row) = (shard.records.len(), self.world.table.get(&shard.key));
            let skipped = self.initial == InitialPosition::Latest && row.is_none();
            assert!(
                skipped || shard.solid == all,
                "shard {i}: {} of {all} records were handled",
                shard.solid
            );
            let Some(row) = row else { continue };
            if row.checkpoint.is_start() {
                continue;
            }
            assert_eq!(self.world.covered(i, &row.checkpoint), all, "shard {i} is at {row:?}");
        }
        // Lives under one id that hold nothing cannot know of each other.
        let holding: Vec<&WorkerId> = self
            .nodes
            .values()
            .filter(|node| node.machine.leases_held() > 0)
            .map(|node| &node.id)
            .collect();
        let ids: std::collections::BTreeSet<&WorkerId> = holding.iter().copied().collect();
        assert_eq!(
            holding.len(),
            ids.len(),
            "two lives of one worker hold leases: {holding:?}"
        );
        let loads: Vec<usize> = self.nodes.values().map(|node| node.machine.leases_held()).collect();
        let spread = loads.iter().max().unwrap() - loads.iter().min().unwrap();
        assert!(spread <= 1, "unbalanced: {loads:?}");
        // A renewal in every third of the failover time, and one more for what is on its way.
        let live = self.world.table.values().filter(|lease| !lease.is_finished()).count() as u64;
        let most = live * ((END - QUIET_FROM) / (FAILOVER_MS / 3) + 1);
        assert!(
            updates <= most,
            "frugal: {updates} writes for {live} leases, {most} would do"
        );
    }
}
