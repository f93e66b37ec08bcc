//! What single rows tell.

use super::{Case, Severity, high, low, stream};
use crate::{LeaseKey, doctor::Problem};

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
fn given_an_empty_table_when_examined_then_that_is_all_that_is_said() {
    let case = Case::of([]).with_shards([super::open(1, low(), None)]);
    assert_eq!(case.codes(), [("no_leases", Severity::Note)]);
    assert!(case.findings()[0].problem.leases() == Vec::<&LeaseKey>::new());
}
