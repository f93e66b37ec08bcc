//! From the shards that there are to shards of the same width, by splits of one and merges of two.

use kcl_core::{HashKey, HashKeyRange};

use crate::engine::{reshard::Reshard, stream::even_ranges};

/// A difference of so small a part of a shard is none: one of 2^32 parts.
const TOLERANCE_BITS: u32 = 32;

/// The steps that lead from open shards with these ranges, in order and without holes, to `target` shards of the same
/// width.
///
/// Shards are split wherever one of the new ranges begins, and what lies within one of them is merged. What has the right
/// range already stays as it is. Both go by halves, so that a chain of shards that are open for no time at all is short.
pub(in crate::engine) fn even_steps(open: impl Iterator<Item = HashKeyRange>, target: u32) -> Vec<Reshard> {
    let open: Vec<_> = open.collect();
    let starts: Vec<_> = even_ranges(target).map(|range| nearest(&open, range)).collect();
    let mut steps = Vec::new();
    let mut pieces = Vec::new();
    for HashKeyRange { start, end } in open {
        let first = starts.partition_point(|cut| *cut <= start);
        let last = starts.partition_point(|cut| *cut <= end);
        let cuts = &starts[first..last];
        split(start, cuts, &mut steps);
        pieces.push(start);
        pieces.extend(cuts);
    }
    let places: Vec<_> = starts
        .iter()
        .map(|start| pieces.partition_point(|piece| piece < start))
        .chain([pieces.len()])
        .collect();
    for place in places.windows(2) {
        merge(&pieces[place[0]..place[1]], &mut steps);
    }
    steps
}

/// Where `range` begins, or where an open shard does that begins so near to it that the difference comes from rounding:
/// the sixths of the hash keys do not quite begin where the thirds do.
fn nearest(open: &[HashKeyRange], range: HashKeyRange) -> HashKey {
    let tolerance = (range.end.0 - range.start.0) >> TOLERANCE_BITS;
    let place = open.partition_point(|shard| shard.start.0 < range.start.0.saturating_sub(tolerance));
    match open.get(place) {
        Some(shard) if shard.start.0 <= range.start.0.saturating_add(tolerance) => shard.start,
        _ => range.start,
    }
}

/// Splits the shard that starts at `shard` at all `cuts`.
fn split(shard: HashKey, cuts: &[HashKey], steps: &mut Vec<Reshard>) {
    let (below, [at, above @ ..]) = cuts.split_at(cuts.len() / 2) else {
        return;
    };
    steps.push(Reshard::Split { shard, at: *at });
    split(shard, below, steps);
    split(*at, above, steps);
}

/// Merges the shards that start at `pieces` into one.
fn merge(pieces: &[HashKey], steps: &mut Vec<Reshard>) {
    let (lower, upper) = pieces.split_at(pieces.len() / 2);
    let (Some(shard), Some(adjacent)) = (lower.first(), upper.first()) else {
        return;
    };
    merge(lower, steps);
    merge(upper, steps);
    steps.push(Reshard::Merge {
        shard: *shard,
        adjacent: *adjacent,
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Shards that begin at 0 and at these keys.
    fn cut_at(starts: impl IntoIterator<Item = u128>) -> Vec<HashKeyRange> {
        let starts: std::collections::BTreeSet<_> = starts.into_iter().chain([0]).collect();
        let ends = starts.iter().skip(1).map(|start| start - 1).chain([u128::MAX]);
        let ranges = starts.iter().zip(ends.collect::<Vec<_>>());
        ranges
            .map(|(start, end)| HashKeyRange {
                start: HashKey(*start),
                end: HashKey(end),
            })
            .collect()
    }

    /// Takes the steps as a stream does, and says how many generations there were.
    fn take(open: &[HashKeyRange], steps: &[Reshard]) -> (Vec<HashKeyRange>, usize) {
        let mut shards: std::collections::BTreeMap<_, _> =
            open.iter().map(|range| (range.start, (range.end, 0))).collect();
        for step in steps {
            match *step {
                Reshard::Split { shard, at } => {
                    let (end, generation) = shards[&shard];
                    assert!(shard < at && at <= end, "{step:?}");
                    shards.insert(shard, (HashKey(at.0 - 1), generation + 1));
                    shards.insert(at, (end, generation + 1));
                }
                Reshard::Merge { shard, adjacent } => {
                    let (middle, lower) = shards[&shard];
                    let (end, upper) = shards.remove(&adjacent).expect("an open shard");
                    assert_eq!(middle.0 + 1, adjacent.0, "{step:?}");
                    shards.insert(shard, (end, lower.max(upper) + 1));
                }
            }
        }
        let generations = shards.values().map(|(_, generation)| *generation).max().unwrap_or(0);
        let ranges = shards.into_iter().map(|(start, (end, _))| HashKeyRange { start, end });
        (ranges.collect(), generations)
    }

    fn even(count: u32) -> Vec<HashKeyRange> {
        even_ranges(count).collect()
    }

    /// Whether there are so many and they differ by what is lost in division at most.
    fn are_even(ranges: &[HashKeyRange], count: u32) -> bool {
        let even = even(count);
        let is_near = |(one, other): (&HashKeyRange, &HashKeyRange)| {
            one.start.0.abs_diff(other.start.0) <= (other.end.0 - other.start.0) >> TOLERANCE_BITS
        };
        ranges.len() == even.len() && ranges.iter().zip(&even).all(is_near)
    }

    fn steps(open: &[HashKeyRange], target: u32) -> Vec<Reshard> {
        even_steps(open.iter().copied(), target)
    }

    #[test]
    fn doubling_splits_each_shard_once_and_halving_merges_each_pair_once() {
        for count in [1, 2, 3, 7, 64, 1000] {
            let up = steps(&even(count), 2 * count);
            assert_eq!(up.len(), count as usize);
            assert_eq!(take(&even(count), &up).1, 1);
            let down = steps(&even(2 * count), count);
            assert_eq!(down.len(), count as usize);
            assert_eq!(take(&even(2 * count), &down).1, 1);
        }
    }

    #[test]
    fn shards_that_are_right_stay() {
        assert_eq!(steps(&even(5), 5), []);
        // Of four quarters the upper two were merged; the lower two are those of four.
        let open = cut_at([1 << 126, 1 << 127]);
        assert_eq!(steps(&open, 4).len(), 1);
    }

    #[test]
    fn one_wide_shard_among_narrow_ones_is_cut_in_few_generations() {
        let open = cut_at(1..1000);
        let steps = steps(&open, 1000);
        let (ranges, generations) = take(&open, &steps);
        assert!(are_even(&ranges, 1000));
        assert!(generations <= 2 * 10 + 1, "{generations}");
    }

    proptest! {
        #[test]
        fn any_shards_become_even_ones(starts in prop::collection::vec(any::<u128>(), 0..40), target in 1..90_u32) {
            let open = cut_at(starts);
            let (ranges, _) = take(&open, &steps(&open, target));
            prop_assert!(are_even(&ranges, target), "{:?}", ranges);
        }
    }
}
