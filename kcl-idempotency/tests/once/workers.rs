//! Workers that crash, and functions that run once all the same.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use kcl_core::Record;
use kcl_idempotency::{Clock, Idempotency, MemoryIdempotencyStore};
use kcl_runtime::testing::{TestWorld, VirtualClock};
use tokio::sync::Notify;

#[tokio::test(start_paused = true)]
async fn given_a_worker_that_dies_before_its_checkpoint_when_another_takes_over_then_done_records_do_not_run_again() {
    let world = TestWorld::new("orders", 1).await;
    let clock = VirtualClock::start();
    let store = Arc::new(MemoryIdempotencyStore::new());
    let once = Idempotency::new("billing", store, Clock::new(move || clock.now()));
    let (seen, third) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
    for number in 0..6 {
        world.put("customer-7", number.to_string());
    }
    // The first worker hangs in the third record: two are done, one has its effect, and nothing is checkpointed.
    let function = |hangs: bool| {
        let (seen, third) = (Arc::clone(&seen), Arc::clone(&third));
        once.records().function(move |record: Record| {
            let data = String::from_utf8(record.data.to_vec()).unwrap();
            seen.lock().unwrap().push(data.clone());
            let (third, hang) = (Arc::clone(&third), hangs && data == "2");
            async move {
                if hang {
                    third.notify_one();
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(())
            }
        })
    };
    let first = world.start(world.worker("w1").function(function(true)));
    third.notified().await;
    first.crash().await;
    let died = world.elapsed();
    world.start(world.worker("w2").function(function(false)));
    world.until_idle().await;
    let mut seen = seen.lock().unwrap().clone();
    assert!(world.elapsed() > died, "it waited");
    seen.sort();
    // Only the one whose effect was not remembered is done twice.
    assert_eq!(seen, ["0", "1", "2", "2", "3", "4", "5"]);
}
