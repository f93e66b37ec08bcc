//! What single rows tell.

use super::{Case, Severity, high, low, stream};
use crate::{
    HashKeyRange, Lease, LeaseKey,
    doctor::{Problem, StreamShards},
};

#[test]
fn given_a_row_that_is_no_lease_when_examined_then_it_is_named() {
    let case = Case::healthy().unreadable("odd");
    assert_eq!(case.codes(), [("unreadable_row", Severity::Error)]);
    let finding = &case.findings()[0];
    let text = finding.problem.to_string();
    assert!(text.contains("\"odd\"") && text.contains("no checkpoint"), "{text}");
    // One look is enough for it.
    assert!(case.once()[0].confirmed);
}

#[test]
fn given_leases_of_another_stream_when_examined_then_they_are_named_and_count_for_nothing_else() {
    let mut stray = super::held(9, high(), "w9");
    stray.stream = Some(stream("other").into());
    let mut case = Case::of([super::held(1, low(), "w1"), super::held(2, high(), "w2"), stray]);
    case.stream = Some(stream("mine"));
    assert_eq!(case.codes(), [("other_stream", Severity::Error)]);
    let remedy = case.findings()[0].problem.remedy();
    assert_eq!(
        remedy.command,
        Some(vec!["delete".to_owned(), super::key(9).to_string()])
    );

    case.stream = Some(stream("other"));
    // Rows that do not say whose they are may be of any stream.
    assert!(case.codes().iter().all(|(code, _)| *code != "other_stream"));
}

#[test]
fn given_rows_of_two_streams_when_no_stream_is_told_then_the_rarer_one_is_the_stranger() {
    let of = |number, range, name| {
        let mut lease = super::held(number, range, "w1");
        lease.stream = Some(stream(name).into());
        lease
    };
    let case = Case::of([of(1, low(), "a"), of(2, high(), "a"), of(3, low(), "b")]);
    let findings = case.findings();
    assert!(
        matches!(&findings[..], [only] if matches!(&only.problem,
            Problem::OtherStream { other, is_told: false, leases, .. } if *other == stream("b") && leases.len() == 1)),
        "{findings:?}"
    );
    assert_eq!(Case::of([of(1, low(), "a"), of(2, high(), "a")]).findings(), []);
}

#[test]
fn given_two_streams_of_one_application_when_examined_then_each_is_whole_or_not_by_itself() {
    let of = |name: &str, lease: Lease| lease.in_stream(format!("1:{name}:7").parse().unwrap());
    let waiting = of("b", super::held(3, low(), "w1").with_parents([super::shard(1)]));
    let leases = [
        of("a", super::held(1, low(), "w1")),
        of("a", super::held(2, high(), "w2")),
        // Finished in one stream, open in the other.
        of("b", super::finished(super::free(1, low()))),
        of("b", super::held(2, high(), "w2")),
        waiting.clone(),
    ];
    assert_eq!(Case::of(leases.clone()).findings(), []);
    let without = |key: &LeaseKey| Case::of(leases.iter().filter(|lease| lease.key != *key).cloned());
    assert_eq!(without(&waiting.key).codes(), [("hash_range_hole", Severity::Error)]);

    // The stream's shards are those of the stream that is asked about.
    let mut case = Case::of(leases.clone());
    case.stream = Some(stream("a"));
    let case = case.with_shards([super::open(1, low(), None), super::open(2, high(), None)]);
    assert_eq!(case.findings(), []);
    let mut case = case.with_shards([super::open(7, HashKeyRange::FULL, None)]);
    let strange: Vec<LeaseKey> = case
        .findings()
        .iter()
        .flat_map(|found| found.problem.leases().into_iter().cloned())
        .collect();
    assert!(
        !strange.is_empty() && strange.iter().all(|key| key.as_str().starts_with("1:a:7")),
        "{strange:?}"
    );
    // Both streams, each with shards of its own: what is missing is missing in the one that has it.
    let also = super::open(9, HashKeyRange::FULL, None);
    case = case.with_shards([super::open(1, low(), None), super::open(2, high(), None)]);
    case.shards.push(StreamShards {
        stream: stream("b"),
        id: Some("1:b:7".parse().unwrap()),
        shards: vec![
            super::closed(1, low(), None),
            super::open(2, high(), None),
            super::open(3, low(), Some(1)),
            also,
        ],
    });
    let found = case.findings();
    assert!(!found.is_empty());
    for finding in &found {
        assert_eq!(finding.stream, Some("1:b:7".parse().unwrap()), "{finding:?}");
    }
    // A stream that was created again is another one.
    case.shards[1].id = Some("1:b:8".parse().unwrap());
    assert_eq!(case.findings(), []);
    case.shards[1].stream = stream("c");
    case.shards[1].id = None;
    assert_eq!(case.findings(), [], "nobody says of which one they are");
}

#[test]
fn given_an_empty_table_when_examined_then_that_is_all_that_is_said() {
    let case = Case::of([]).with_shards([super::open(1, low(), None)]);
    assert_eq!(case.codes(), [("no_leases", Severity::Note)]);
    assert!(case.findings()[0].problem.leases() == Vec::<&LeaseKey>::new());
}
