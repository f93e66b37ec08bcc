//! Problems and remedies, as an operator reads them.

use std::fmt;

use super::finding::{BlockedBy, Problem, Remedy};
use crate::ids::LeaseKey;

/// The most leases that a text names.
const NAMED: usize = 5;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLeases => f.write_str("the table holds no leases of this application: no worker ever filled it"),
            Self::Unreadable { key, reason } => write!(
                f,
                "the row {key:?} is no lease ({reason}): nobody reads its shard, and what follows it is not held back"
            ),
            Self::OtherStream {
                stream,
                is_told: true,
                other,
                leases,
            } => write!(f, "{} is of the stream {other}, not of {stream}", some(leases)),
            Self::OtherStream {
                stream, other, leases, ..
            } => write!(
                f,
                "{} is of the stream {other}, while others are of {stream}",
                some(leases)
            ),
            Self::Hole { range } => write!(
                f,
                "no unfinished lease covers the hash keys {range}: records with these are not read"
            ),
            Self::Overlap { one, other } => write!(
                f,
                "{one} and {other} cover the same hash keys, and neither shard came of the other"
            ),
            Self::UnknownRanges { leases } => write!(
                f,
                "{leases} unfinished leases do not say which hash keys they are for: holes and overlaps were not looked for"
            ),
            Self::ShardUnknown { key } => {
                write!(f, "the stream has no shard for the lease {key}, and has none younger")
            }
            Self::ShardReplaced { key } => {
                write!(f, "the stream has another shard {key}: with other hash keys or parents")
            }
            Self::CheckpointOutside { key, checkpoint } => {
                write!(
                    f,
                    "{key} stands at {checkpoint}, which its shard does not have: it began later, or ended before"
                )
            }
            Self::ShardExpired { key } => write!(
                f,
                "the shard of {key} is past retention and was not handled to its end: what was left in it is lost"
            ),
            Self::FinishedOpen { key } => write!(
                f,
                "{key} is finished, and its shard is open: what comes into it is not read"
            ),
            Self::ParentCircle { leases } => write!(
                f,
                "{} waits for itself: by the rows these shards are their own parents, and nobody reads them",
                some(leases)
            ),
            Self::MissingLease { shard } => write!(f, "{shard} is to be read now and has no lease"),
            Self::OddListing { message } => f.write_str(message),
            Self::Leftover { leases } => write!(
                f,
                "{} is finished and its children have begun: it is not needed any more",
                some(leases)
            ),
            Self::Stopped { leases } => write!(
                f,
                "the application is stopped: nobody holds any of the {leases} unfinished leases"
            ),
            Self::AllSilent {
                holders,
                leases,
                seconds,
            } => {
                let holders: Vec<&str> = holders.iter().take(NAMED).map(AsRef::as_ref).collect();
                write!(
                    f,
                    "no worker lives: {leases} leases are held ({}) and none was renewed in {seconds} s",
                    holders.join(", ")
                )
            }
            Self::SilentHolder {
                holder,
                lives_elsewhere,
                leases,
                seconds,
            } => {
                let but = if *lives_elsewhere {
                    ", though it renews others"
                } else {
                    ""
                };
                write!(f, "{holder} has not renewed {} in {seconds} s{but}", some(leases))
            }
            Self::StuckHandOff {
                key,
                from,
                to,
                receiver_lives,
                seconds,
            } => {
                let state = if *receiver_lives {
                    "lives"
                } else {
                    "renews nothing either"
                };
                write!(
                    f,
                    "{key} is to pass from {from} to {to}; {from} has not renewed it in {seconds} s, {to} {state}"
                )
            }
            Self::EndlessHandOff {
                key,
                from,
                to,
                giver_renews: true,
                seconds,
            } => write!(
                f,
                "{key} is to pass from {from} to {to}; {from} has renewed it for {seconds} s and does not let go"
            ),
            Self::EndlessHandOff {
                key, from, to, seconds, ..
            } => write!(
                f,
                "{key} is to pass from {from} to {to}, and was renewed for {seconds} s by one of the two: {to}, if it is a worker \
                 of KCL 2.x that took it"
            ),
            Self::Untaken { leases, seconds } => write!(
                f,
                "workers live, and none has taken {} in {seconds} s though it is free and could be read",
                some(leases)
            ),
            Self::Blocked { parent, by, children } => {
                write!(f, "{} waits for {parent}, which nobody reads: ", some(children))?;
                match by {
                    BlockedBy::Free => f.write_str("its lease is free"),
                    BlockedBy::Silent(holder) => write!(f, "{holder} holds it and does not renew"),
                    BlockedBy::Absent => f.write_str("it has no lease"),
                    BlockedBy::Unreadable => f.write_str("its row cannot be read"),
                }
            }
            Self::DuplicateWorker { worker, sessions } => {
                let sessions: Vec<String> = sessions
                    .iter()
                    .map(|(session, key)| format!("session {session} renews {key}"))
                    .collect();
                write!(f, "several processes run as {worker}: {}", sessions.join(", "))
            }
            Self::NoProgress {
                holder,
                leases,
                seconds,
            } => {
                let named: Vec<String> = leases
                    .iter()
                    .take(NAMED)
                    .map(|(key, at)| format!("{key} at {at}"))
                    .collect();
                let more = more(leases.len());
                write!(
                    f,
                    "{holder} renews {}{more} and has never checkpointed a record of it, nor in these {seconds} s",
                    named.join(", ")
                )
            }
            Self::StaleLeader {
                leader,
                lease_duration,
                seconds,
            } => write!(
                f,
                "{leader} leads the workers of Java KCL and has not renewed its lock in {seconds} s, though others may take it \
                 after {} s: nobody leads, and workers of Java KCL 3.x get no leases assigned",
                lease_duration.as_secs_f64()
            ),
            Self::NoMetrics { version, workers } => write!(
                f,
                "{} holds leases and has published no metrics in a minute: the application stays at {version}",
                named(workers)
            ),
            Self::ForeignRows { rows, unaware } => {
                write!(
                    f,
                    "the lease table holds rows that are no leases ({}), and workers of Java KCL before 3.5 fail on them",
                    named(rows)
                )?;
                if unaware.is_empty() {
                    return Ok(());
                }
                write!(
                    f,
                    "; {} holds leases and does not say that it can deal with them",
                    named(unaware)
                )
            }
            Self::UnreadableBeside { key, reason } => {
                write!(f, "the row {key:?} cannot be read: {reason}")
            }
        }
    }
}

impl Problem {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        let words = match self {
            Self::NoLeases => "check the application's name and the table; if both are right, start a worker",
            Self::Unreadable { .. } => {
                "mend or remove the row with the table's own tools; if you remove it, a worker adds the lease again, \
                 from the application's initial position"
            }
            Self::OtherStream { leases, .. } => {
                let words = "an application reads one stream, and its workers refuse to start: check --app, --lease-table and \
                             --stream; if these rows are left over, delete them (their checkpoints are lost)";
                return Remedy::words(words).with("delete", leases);
            }
            Self::Hole { .. } => {
                "a worker that compares leases with the stream's shards adds what is missing, each minute: start one if \
                 none runs; if one runs, its log says why it does not"
            }
            Self::Overlap { .. } => {
                "one of the two is left over from another stream, or from one that was deleted and created again: with \
                 --stream, doctor says which; delete that one"
            }
            Self::UnknownRanges { .. } => "name the stream with --stream: it knows the hash keys of its shards",
            Self::CheckpointOutside { key, .. } => {
                let words = "somebody set the checkpoint by hand, or the stream was deleted and created again: stop the workers, and \
                             set it to where it was, a time, or the shard's oldest record";
                return Remedy::words(words).with("seek", [key]).and(&["--to", "trim-horizon"]);
            }
            Self::ShardUnknown { key } | Self::ShardReplaced { key } => {
                let words = "check --stream; if the stream was deleted and created again, the old checkpoints are of no \
                             use: stop the workers, delete all leases (`kclctl leases delete --all`), start again";
                return Remedy::words(words).with("delete", [key]);
            }
            Self::ShardExpired { .. } => {
                "a worker that lives ends it and goes on with its children; to lose nothing next time, keep records longer \
                 than the longest stop (`kclctl stream retention`)"
            }
            Self::FinishedOpen { .. } => {
                "somebody wrote the row by hand, or the stream was deleted and created again: stop the workers, and set the \
                 lease to where it was (`kclctl leases seek --finished --to`)"
            }
            Self::ParentCircle { .. } => {
                "set the parents that the stream tells (`kclctl stream describe`) with the table's own tools; or delete \
                 these leases (`kclctl leases delete`), which forgets their checkpoints, and a worker adds them right"
            }
            Self::MissingLease { .. } => {
                "a worker adds it when it compares leases with shards, each minute: look again after two, then at its log"
            }
            Self::OddListing { .. } => "the service is between two states: look again in a moment",
            Self::Leftover { leases } => {
                let words = "workers remove it five minutes after it ended; if none runs, or it stays, delete it";
                return Remedy::words(words).with("delete", leases);
            }
            Self::Stopped { .. } => "start a worker when it is to go on",
            Self::AllSilent { .. } => {
                "start workers: they take the leases after the failover time; if workers do run, they do not reach the \
                 table: see their logs"
            }
            Self::SilentHolder { leases, .. } => {
                let words = "its worker is gone or cannot reach the table, and others take the lease after the failover time: \
                             look again; if it stays, the others have reached `max_leases`, or their failover time is longer \
                             than --failover-time: release it";
                return Remedy::words(words).with("release", leases);
            }
            Self::StuckHandOff { key, .. } => {
                let words = "workers that live take it after the failover time: look again; if it stays, release it";
                return Remedy::words(words).with("release", [key]);
            }
            Self::EndlessHandOff { giver_renews: true, .. } => {
                "its handler does not end the batch under way: see its log or report. A worker of this project lets go after \
                 `hand_off_timeout`; one that does not is stopped by hand, and others take the lease"
            }
            Self::EndlessHandOff { .. } => {
                "if the second reads the shard, nothing is lost: the attribute checkpointOwner is left over, and goes with the next \
                 worker of 3.x that holds the lease. If the first does, see its log or report: its handler does not end"
            }
            Self::Untaken { .. } => "the workers have reached `max_leases`, or stop: start more, or raise it",
            Self::Blocked { parent, by, .. } => match by {
                BlockedBy::Free => "the workers have reached `max_leases`, or stop: start more, or raise it",
                BlockedBy::Silent(_) => {
                    let words = "workers that live take the parent after the failover time: look again; if it stays, release it";
                    return Remedy::words(words).with("release", [parent]);
                }
                BlockedBy::Absent => {
                    "a worker adds the parent's lease when it compares leases with shards, each minute: look again after \
                     two, then at its log"
                }
                BlockedBy::Unreadable => "mend the parent's row",
            },
            Self::DuplicateWorker { .. } => {
                "give every process a worker id of its own; the one that started later goes on, the other ends"
            }
            Self::NoProgress { .. } => {
                "nothing is wrong if no record has come since; otherwise the handler fails, hangs or never checkpoints: the \
                 worker's log and report say which"
            }
            Self::StaleLeader { .. } => {
                "if workers of Java KCL 3.x run, see in their logs why none takes the lock: most often a permission on the table \
                 of the lock is missing. If none runs any more, nothing is wrong: workers of this crate need no leader"
            }
            Self::NoMetrics { .. } => {
                "a worker of KCL 2.x publishes none: give it the new version. One that has the new version needs the permission \
                 dynamodb:UpdateItem on the table of metrics: see its log. Leases that nobody holds keep the application from \
                 going on too"
            }
            Self::ForeignRows { unaware, .. } if unaware.is_empty() => {
                "start no worker of Java KCL before 3.5 in this application, and roll none back to such a version"
            }
            Self::ForeignRows { .. } => {
                "see which version these workers are: those of Java KCL before 3.5 take no leases any more, and keep those they \
                 have; give them 3.5 or later. If they are of a later one, they lack the permission to publish metrics"
            }
            Self::UnreadableBeside { .. } => {
                "workers go on as if the row were not there; mend or remove it with the table's own tools, or let a worker of \
                 the version that wrote it do so"
            }
        };
        Remedy::words(words)
    }
}

fn some(leases: &[LeaseKey]) -> String {
    named(leases)
}

fn named(things: &[impl AsRef<str>]) -> String {
    let named: Vec<&str> = things.iter().take(NAMED).map(AsRef::as_ref).collect();
    named.join(", ") + &more(things.len())
}

fn more(count: usize) -> String {
    match count.checked_sub(NAMED) {
        None | Some(0) => String::new(),
        Some(more) => format!(" and {more} more"),
    }
}
