use super::*;

const START: Tick = Tick::from_origin(Duration::from_secs(100));

fn failure(kind: FetchFailureKind) -> FetchFailure {
    FetchFailure {
        kind,
        message: "no".to_owned(),
    }
}

fn number(text: &str) -> SequenceNumber {
    text.parse().unwrap()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

struct Bench {
    retriever: Retriever,
    now: Tick,
    rng: Rng,
}

impl Bench {
    fn new(mode: RetrievalMode) -> Self {
        Self {
            retriever: Retriever::new(mode),
            now: START,
            rng: Rng::with_seed(7),
        }
    }

    fn fails(&mut self, kind: FetchFailureKind) -> Duration {
        self.retriever.failed(self.now, &failure(kind), &mut self.rng)
    }

    /// A subscription begins, gives an event, and goes on so long.
    fn lives(&mut self, lives: Duration) {
        assert_eq!(self.retriever.choice(self.now), Retrieval::FanOut);
        self.retriever.wants(self.now);
        self.retriever.subscribed(self.now);
        self.now = self.now + lives;
        self.retriever.wants(self.now);
        self.retriever.heard(self.now, Some(number("7")));
    }

    /// It is tried until it falls back. Says after how long.
    fn until_fallback(&mut self, kind: FetchFailureKind, each: Duration) -> Duration {
        let began = self.now;
        for _ in 0..1_000 {
            self.retriever.wants(self.now);
            self.now = self.now + each;
            let wait = self.fails(kind);
            if self.retriever.choice(self.now) == Retrieval::Polling {
                assert_eq!(wait, Duration::ZERO, "the shard is polled at once");
                return self.now.since(began);
            }
            self.now = self.now + wait;
        }
        panic!("it never falls back");
    }
}

#[test]
fn given_a_mode_when_nothing_happened_then_it_is_the_choice() {
    for (mode, choice) in [
        (RetrievalMode::Polling, Retrieval::Polling),
        (RetrievalMode::FanOut, Retrieval::FanOut),
        (RetrievalMode::Auto, Retrieval::FanOut),
    ] {
        assert_eq!(Retriever::new(mode).choice(START), choice);
    }
}

#[test]
fn given_five_minutes_when_a_subscription_ends_then_the_next_begins_at_once() {
    let mut bench = Bench::new(RetrievalMode::FanOut);
    for _ in 0..100 {
        bench.lives(secs(300));
        assert!(bench.retriever.is_regular(bench.now, FetchFailureKind::Ended));
        assert_eq!(bench.fails(FetchFailureKind::Ended), Duration::ZERO);
    }
    assert_eq!(bench.retriever.fallback(), None);
}

#[test]
fn given_a_subscription_that_is_cut_soon_when_the_next_is_due_then_the_floor_is_kept() {
    let mut bench = Bench::new(RetrievalMode::FanOut);
    bench.lives(secs(1));
    assert_eq!(bench.fails(FetchFailureKind::Ended), secs(4));
    assert_eq!(bench.retriever.earliest(), START + FLOOR);
    bench.now = bench.now + secs(4);
    bench.lives(secs(59));
    assert!(bench.fails(FetchFailureKind::Unavailable) <= Duration::from_millis(100));
}

#[test]
fn given_a_place_that_is_taken_when_refused_then_it_waits_until_it_may_be_free() {
    let mut bench = Bench::new(RetrievalMode::FanOut);
    let waits = bench.fails(FetchFailureKind::InUse);
    assert!((FLOOR..FLOOR + secs(1)).contains(&waits), "{waits:?}");
}

#[test]
fn wound_25_given_events_when_a_subscription_is_renewed_then_it_goes_on_after_what_was_given_out() {
    let mut bench = Bench::new(RetrievalMode::FanOut);
    let read = Position::after(number("5"));
    assert_eq!(bench.retriever.start(&read), SubscribeAt::Position(read.clone()));
    bench.lives(secs(300));
    bench.fails(FetchFailureKind::Ended);
    assert_eq!(bench.retriever.start(&read), SubscribeAt::Continuation(number("7")));
    // A number that the service does not take is no better than the last record's.
    bench.fails(FetchFailureKind::InvalidPosition);
    assert_eq!(bench.retriever.start(&read), SubscribeAt::Position(read.clone()));
    assert_eq!(bench.retriever.choice(bench.now), Retrieval::FanOut);
    // What a poll gave lies behind the number.
    bench.lives(secs(300));
    bench.retriever.polled();
    assert_eq!(bench.retriever.start(&read), SubscribeAt::Position(read));
}

#[test]
fn given_what_waiting_cannot_mend_when_refused_then_the_shard_is_polled_at_once() {
    for kind in [
        FetchFailureKind::Denied,
        FetchFailureKind::NotFound,
        FetchFailureKind::InvalidPosition,
    ] {
        let mut bench = Bench::new(RetrievalMode::Auto);
        assert_eq!(bench.until_fallback(kind, Duration::ZERO), Duration::ZERO);
        assert_eq!(bench.retriever.fallback().unwrap().failure.kind, kind);
    }
}

#[test]
fn given_refusals_that_go_on_when_half_a_minute_is_over_then_the_shard_is_polled() {
    for kind in [
        FetchFailureKind::InUse,
        FetchFailureKind::Throttled,
        FetchFailureKind::Unavailable,
        FetchFailureKind::Ended,
    ] {
        let took = Bench::new(RetrievalMode::FanOut).until_fallback(kind, Duration::from_millis(10));
        assert!((PATIENCE..PATIENCE + secs(7)).contains(&took), "{kind:?}: {took:?}");
    }
    let silent = Bench::new(RetrievalMode::FanOut).until_fallback(FetchFailureKind::Silent, IDLE);
    assert!(silent <= 2 * IDLE + secs(1), "{silent:?}");
}

#[test]
fn given_subscriptions_that_do_not_last_when_there_were_five_then_the_shard_is_polled() {
    let mut bench = Bench::new(RetrievalMode::FanOut);
    for _ in 0..SHORT_LIVED {
        bench.lives(secs(2));
        let wait = bench.fails(FetchFailureKind::Unavailable);
        bench.now = bench.now + wait;
    }
    assert_eq!(bench.retriever.choice(bench.now), Retrieval::Polling);
}

#[test]
fn given_polling_in_its_place_when_time_passes_then_fan_out_is_tried_again_ever_more_rarely() {
    let mut bench = Bench::new(RetrievalMode::FanOut);
    bench.until_fallback(FetchFailureKind::Denied, Duration::ZERO);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let until = bench.retriever.fallback().unwrap().until;
        waits.push(until.since(bench.now));
        bench.now = until;
        assert_eq!(
            bench.until_fallback(FetchFailureKind::InUse, Duration::ZERO),
            Duration::ZERO,
            "one try is enough"
        );
    }
    assert!(waits[0] <= secs(60) && waits[0] >= secs(30), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= secs(900)), "{waits:?}");
    assert!(waits[7] >= secs(450), "{waits:?}");
    bench.now = bench.retriever.fallback().unwrap().until;
    bench.lives(secs(60));
    assert_eq!(bench.retriever.fallback(), None);
    bench.until_fallback(FetchFailureKind::Denied, Duration::ZERO);
    assert!(
        bench.retriever.fallback().unwrap().until.since(bench.now) <= secs(60),
        "the count begins anew"
    );
}

#[test]
fn wound_38_given_a_slow_handler_when_nobody_listens_then_that_is_no_silence() {
    let mut bench = Bench::new(RetrievalMode::FanOut);
    bench.lives(secs(61));
    bench.retriever.let_go();
    bench.now = bench.now + secs(3_600);
    bench.retriever.wants(bench.now);
    bench.fails(FetchFailureKind::Unavailable);
    assert_eq!(bench.retriever.choice(bench.now), Retrieval::FanOut);
}

#[test]
fn given_another_mode_when_it_is_set_then_what_stood_in_the_way_is_forgotten_and_the_place_is_not() {
    let mut bench = Bench::new(RetrievalMode::FanOut);
    bench.lives(secs(1));
    bench.until_fallback(FetchFailureKind::Denied, Duration::ZERO);
    bench.retriever.set_mode(RetrievalMode::Auto);
    assert_eq!(bench.retriever.choice(bench.now), Retrieval::FanOut);
    assert_eq!(bench.retriever.earliest(), START + FLOOR);
    let start = bench.retriever.start(&Position::TrimHorizon);
    assert_eq!(start, SubscribeAt::Continuation(number("7")));
    bench.retriever.set_mode(RetrievalMode::Polling);
    assert_eq!(bench.retriever.choice(bench.now + secs(100_000)), Retrieval::Polling);
}
