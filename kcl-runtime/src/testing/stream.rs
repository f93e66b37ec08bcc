//! What a test does to the stream: put records, split and merge shards. None of it meets faults or takes time.

use bytes::Bytes;
use kcl_broker::{
    ApiError, Operation,
    api::{ListShards, MergeShards, PutRecord, PutRecordOutput, SplitShard},
};
use kcl_core::{HashKey, Shard, ShardId};

use super::TestWorld;

impl TestWorld {
    /// Puts a record; its partition key decides to which shard it goes. Says where it went.
    #[track_caller]
    pub fn put(&self, key: impl Into<String>, data: impl Into<Bytes>) -> PutRecordOutput {
        self.call(PutRecord::new(self.stream().as_str(), key.into(), data))
    }

    /// Puts a record whose explicit hash key decides to which shard it goes.
    #[track_caller]
    pub fn put_at(&self, hash_key: HashKey, key: impl Into<String>, data: impl Into<Bytes>) -> PutRecordOutput {
        let mut request = PutRecord::new(self.stream().as_str(), key.into(), data);
        request.explicit_hash_key = Some(hash_key.to_string());
        self.call(request)
    }

    /// Puts a record into an open shard, by an explicit hash key out of its range.
    ///
    /// # Panics
    /// If there is no such shard, or it is closed.
    #[track_caller]
    pub fn put_into(&self, shard: &ShardId, key: impl Into<String>, data: impl Into<Bytes>) -> PutRecordOutput {
        let listed = self.find(shard);
        assert!(listed.is_open(), "{shard} is closed and takes no records");
        self.put_at(listed.hash_key_range.start, key, data)
    }

    /// The id of the stream's `number`-th shard, from 0, in the order in which shards are made.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn shard(&self, number: usize) -> ShardId {
        let shards = self.shards();
        match shards.get(number) {
            Some(shard) => shard.id.clone(),
            None => panic!("there is no shard {number}, but {} shards from 0 on", shards.len()),
        }
    }

    /// All shards of the stream, closed ones too.
    #[must_use]
    #[track_caller]
    pub fn shards(&self) -> Vec<Shard> {
        self.list_shards()
            .unwrap_or_else(|error| panic!("the stream {} has no shards: {error}", self.stream()))
    }

    pub(super) fn list_shards(&self) -> Result<Vec<Shard>, ApiError> {
        let broker = self.behind();
        let mut page = broker.call(ListShards::new(self.stream().as_str()))?;
        let mut shards = page.shards;
        while let Some(token) = page.next_token {
            page = broker.call(ListShards::next(token))?;
            shards.append(&mut page.shards);
        }
        Ok(shards)
    }

    /// The shards that take records.
    #[must_use]
    #[track_caller]
    pub fn open_shards(&self) -> Vec<Shard> {
        self.shards().into_iter().filter(Shard::is_open).collect()
    }

    /// Splits a shard in the middle of its range; gives the lower and the upper half.
    ///
    /// # Panics
    /// If there is no such shard, or it is closed.
    #[track_caller]
    pub fn split(&self, shard: &ShardId) -> [ShardId; 2] {
        let range = self.find(shard).hash_key_range;
        let middle = HashKey(range.start.0 + (range.end.0 - range.start.0) / 2 + 1);
        self.call(SplitShard::new(self.stream().as_str(), shard.as_str(), middle));
        let mut children = self.children(shard);
        children.sort_by_key(|child| child.hash_key_range.start);
        let ids: Vec<ShardId> = children.into_iter().map(|child| child.id).collect();
        ids.try_into()
            .unwrap_or_else(|ids| panic!("a split makes two shards, not {ids:?}"))
    }

    /// Merges two shards whose ranges touch; gives the new one.
    ///
    /// # Panics
    /// If they are not adjacent and open.
    #[track_caller]
    pub fn merge(&self, shard: &ShardId, adjacent: &ShardId) -> ShardId {
        self.call(MergeShards::new(
            self.stream().as_str(),
            shard.as_str(),
            adjacent.as_str(),
        ));
        match self.children(shard).pop() {
            Some(child) => child.id,
            None => panic!("{shard} has no child after it was merged"),
        }
    }

    #[track_caller]
    fn find(&self, shard: &ShardId) -> Shard {
        let listed = self.shards().into_iter().find(|listed| listed.id == *shard);
        listed.unwrap_or_else(|| panic!("the stream {} has no shard {shard}", self.stream()))
    }

    #[track_caller]
    fn children(&self, parent: &ShardId) -> Vec<Shard> {
        let is_child = |shard: &Shard| shard.parents().any(|other| other == parent);
        self.shards().into_iter().filter(is_child).collect()
    }

    #[track_caller]
    fn call<O: Operation>(&self, operation: O) -> O::Output {
        let answer = self.behind().call(operation);
        answer.unwrap_or_else(|error| panic!("{} on the stream {} failed: {error}", O::NAME, self.stream()))
    }
}
