use std::time::Duration;

use serde_json::json;

use super::*;

const SHARD: &str = "shardId-000000000001";

fn call(operation: &str) -> Call<'_> {
    Call {
        operation,
        has_connection: true,
        ..Call::default()
    }
}

fn plan(faults: impl IntoIterator<Item = Fault>) -> FaultPlan {
    let mut plan = FaultPlan::default();
    for fault in faults {
        plan.add(fault).unwrap();
    }
    plan
}

fn struck(plan: &mut FaultPlan, call: &Call<'_>, times: usize) -> Vec<bool> {
    (0..times).map(|_| !plan.strike(call).faults.is_empty()).collect()
}

#[test]
fn a_fault_begins_after_so_many_calls_and_ends_after_so_many_strikes() {
    let mut plan = plan([Fault::throttle().on("PutRecord").after(2).times(2)]);
    assert_eq!(struck(&mut plan, &call("GetRecords"), 3), [false; 3]);
    assert_eq!(
        struck(&mut plan, &call("PutRecord"), 6),
        [false, false, true, true, false, false]
    );
    let status = &plan.faults()[0];
    assert_eq!((status.matched, status.struck, status.is_over()), (4, 2, true));
}

#[test]
fn chance_follows_from_the_seed_and_the_number_of_the_call_alone() {
    let lot = |seed, others: &[&str]| {
        let mut plan = plan([Fault::unavailable().on("PutRecord").probability(0.5).seed(seed)]);
        (0..200)
            .map(|_| {
                for other in others {
                    plan.strike(&call(other));
                }
                !plan.strike(&call("PutRecord")).faults.is_empty()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(lot(7, &[]), lot(7, &["GetRecords", "ListShards"]));
    assert_ne!(lot(7, &[]), lot(8, &[]));
    let hits = lot(7, &[]).into_iter().filter(|hit| *hit).count();
    assert!((70..130).contains(&hits), "{hits}");
}

#[test]
fn a_fault_strikes_only_what_it_is_aimed_at() {
    let shards = [SHARD.to_owned()];
    let aimed = Call {
        stream: Some("rides"),
        shards: &shards,
        ..call("GetRecords")
    };
    for (fault, hits) in [
        (Fault::throttle(), true),
        (Fault::throttle().on("*"), true),
        (Fault::throttle().on("GetRecords").stream("rides").shard(SHARD), true),
        (Fault::throttle().stream("tides"), false),
        (Fault::throttle().shard("shardId-000000000000"), false),
        (Fault::throttle().table("rides"), false),
        (Fault::throttle().on("PutRecords"), false),
        (Fault::throttle().on("DynamoDB.*"), false),
        (Fault::throttle().records(0.5), false),
        (Fault::stale_shards(Duration::from_secs(1)), false),
        (Fault::silent_subscription(), false),
        (Fault::expired_iterator(), true),
    ] {
        assert_eq!(struck(&mut plan([fault.clone()]), &aimed, 1), [hits], "{fault:?}");
    }
}

#[test]
fn the_operations_of_a_service_are_named_together() {
    let update = Call {
        table: Some("leases"),
        ..call("DynamoDB.UpdateItem")
    };
    for (fault, hits) in [
        (Fault::throttle().on("DynamoDB.*"), true),
        (Fault::throttle().on("DynamoDB.UpdateItem").table("leases"), true),
        (Fault::throttle().on("DynamoDB.*").table("metrics"), false),
        (Fault::throttle().on("DynamoDB.GetItem"), false),
        (Fault::resource_in_use(), false),
    ] {
        assert_eq!(struck(&mut plan([fault.clone()]), &update, 1), [hits], "{fault:?}");
    }
}

#[test]
fn what_needs_a_connection_passes_calls_without_one_by() {
    for fault in [
        Fault::latency(Duration::from_secs(1)),
        Fault::drop_request(),
        Fault::drop_answer(),
    ] {
        let mut plan = plan([fault.times(1)]);
        let without = Call {
            has_connection: false,
            ..call("PutRecord")
        };
        assert_eq!(struck(&mut plan, &without, 1), [false]);
        assert_eq!(struck(&mut plan, &call("PutRecord"), 1), [true]);
    }
}

#[test]
fn latencies_add_up_and_of_the_others_the_first_ends_the_round() {
    let mut plan = plan([
        Fault::latency(Duration::from_millis(100)),
        Fault::latency(Duration::from_millis(20)),
        Fault::drop_answer().times(1),
        Fault::unavailable(),
        Fault::latency(Duration::from_millis(3)),
    ]);
    let first = plan.strike(&call("PutRecord"));
    assert_eq!(
        (first.latency, first.effect),
        (Duration::from_millis(120), Some(Effect::DropAnswer))
    );
    let names: Vec<_> = first.faults.iter().map(|(_, name)| *name).collect();
    assert_eq!(names, ["latency", "latency", "drop_answer"]);
    assert_eq!(plan.faults()[3].matched, 0);
    let second = plan.strike(&call("PutRecord"));
    assert_eq!(second.effect, Some(Effect::Quirk(crate::Quirk::Unavailable)));
    assert_eq!(second.latency, Duration::from_millis(120));
}

#[test]
fn a_fault_that_makes_no_sense_is_refused_with_what_would() {
    let problem = |fault: Fault| plan_error(fault).to_string();
    let unknown = problem(Fault::throttle().on("PutRecrods"));
    assert!(
        unknown.starts_with("there is no operation \"PutRecrods\"; there are *, "),
        "{unknown}"
    );
    assert!(
        unknown.contains("PutRecords, ") && unknown.contains("SubscribeToShard"),
        "{unknown}"
    );
    assert_eq!(
        problem(Fault::expired_iterator().on("PutRecords")),
        "expired_iterator does not happen to PutRecords; it happens to GetRecords"
    );
    assert_eq!(
        problem(Fault::throttle().on("ListShards").shard(SHARD)),
        "ListShards is never about a shard, so that the fault would never strike; leave the shard out"
    );
    assert_eq!(
        plan_error(Fault::throttle().on("ListStreams").stream("rides")),
        FaultError::WrongSubject {
            operation: "ListStreams".to_owned(),
            what: "stream",
        }
    );
    assert_eq!(
        plan_error(Fault::throttle().on("DynamoDB.ListTables").table("leases")),
        FaultError::WrongSubject {
            operation: "DynamoDB.ListTables".to_owned(),
            what: "table",
        }
    );
    assert_eq!(
        problem(Fault::throttle().on("PutRecords").table("leases")),
        "PutRecords is never about a table, so that the fault would never strike; leave the table out"
    );
    assert_eq!(
        problem(Fault::latency(Duration::ZERO).records(0.5)),
        "latency takes no records"
    );
    assert_eq!(
        problem(Fault::throttle().on("GetRecords").records(0.5)),
        "throttle takes no records"
    );
    assert_eq!(
        problem(Fault::throttle().probability(1.5)),
        "probability is 1.5, and must be more than 0 and at most 1"
    );
    assert!(matches!(
        plan_error(Fault::throttle().on("PutRecords").records(f64::NAN)),
        FaultError::NoShare { member: "records", .. }
    ));
    assert_eq!(plan_error(Fault::throttle().times(0)), FaultError::Never);
}

fn plan_error(fault: Fault) -> FaultError {
    FaultPlan::default().add(fault).unwrap_err()
}

#[test]
fn a_plan_has_an_end_and_numbers_are_not_used_again() {
    let mut plan = FaultPlan::default();
    let ids: Vec<_> = (0..256).map(|_| plan.add(Fault::throttle()).unwrap()).collect();
    assert_eq!(plan.add(Fault::throttle()), Err(FaultError::TooMany { limit: 256 }));
    assert!(plan.remove(ids[3]).is_some());
    assert_eq!(plan.remove(ids[3]), None);
    assert!(plan.add(Fault::throttle()).unwrap() > ids[255]);
    plan.clear();
    assert_eq!(plan.faults(), []);
}

#[test]
fn faults_are_the_same_after_json() {
    for fault in [
        Fault::throttle().on("PutRecords").records(0.25),
        Fault::internal_error()
            .stream("s")
            .shard(SHARD)
            .probability(0.5)
            .after(3)
            .times(9)
            .seed(u64::MAX),
        Fault::unavailable().table("leases"),
        Fault::latency(Duration::from_millis(1500)),
        Fault::drop_request(),
        Fault::drop_answer(),
        Fault::expired_iterator(),
        Fault::null_iterator(),
        Fault::stale_shards(Duration::from_secs(30)),
        Fault::silent_subscription(),
        Fault::disconnect(3),
        Fault::resource_in_use(),
    ] {
        let json = serde_json::to_string(&fault).unwrap();
        assert_eq!(serde_json::from_str::<Fault>(&json).unwrap(), fault, "{json}");
        let status = plan([fault]).faults()[0].clone();
        let json = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<FaultStatus>(&json).unwrap(), status, "{json}");
    }
}

#[test]
fn json_that_says_too_much_or_too_little_is_refused() {
    for (json, problem) in [
        (
            json!({"fault": "throtle"}),
            "there is no fault \"throtle\"; there are throttle, ",
        ),
        (
            json!({"fault": "latency"}),
            "latency takes ms: how many milliseconds calls are held up",
        ),
        (json!({"fault": "disconnect", "ms": 3}), "disconnect takes events: "),
        (json!({"fault": "throttle", "ms": 3}), "throttle takes no ms"),
        (json!({"fault": "throttle", "events": 3}), "throttle takes no events"),
        (
            json!({"fault": "throttle", "time": 3}),
            "unknown field `time`, expected one of `fault`, ",
        ),
        (json!({"operation": "*"}), "missing field `fault`"),
    ] {
        let refused = serde_json::from_value::<Fault>(json.clone()).unwrap_err().to_string();
        assert!(refused.starts_with(problem), "{json}: {refused}");
    }
}
