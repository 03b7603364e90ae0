//! Many requests, one commit: each request hears the outcome of its own event, whatever becomes of
//! the events with which it shares a statement.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use capital_courier::database::Pool;
use capital_courier::flow::inbox::{Arrival, InboxWriter, StoreError, StoreResult};
use capital_courier::queue::Notifier;
use futures_util::future::{join_all, select};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, PgPool};

use crate::support::{TestApp, day_one};

/// What Postgres makes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Stored,
    /// Its time is before 4713 BC, where the calendar of Postgres begins.
    Rejected,
    /// Mostly the commit fails, as on a full disk.
    FailedCommit,
    /// Mostly the server ends the session.
    LostConnection,
}

/// One request. Its body differs from those of all others, also with the same id.
#[derive(Clone, Debug)]
struct Sent {
    event_id: String,
    fate: Fate,
    body: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Heard {
    Inserted,
    Duplicate,
    Rejected,
    NotStored,
    QueueFull,
}

impl Sent {
    fn new(number: usize, event_id: String, fate: Fate) -> Self {
        let created: i64 = if fate == Fate::Rejected { -300_000_000_000 } else { 1_795_521_600 };
        let body = format!(
            r#"{{"id":"{event_id}","type":"{fate:?}","created":{created},"request":{number}}}"#
        );
        Self { event_id, fate, body: body.into() }
    }

    fn arrival(&self) -> Arrival {
        Arrival::parse(self.body.clone(), day_one()).unwrap()
    }

    async fn store(&self, writer: &InboxWriter) -> Heard {
        match writer.store(self.arrival()).await {
            Ok((result, arrival)) => {
                assert_eq!(arrival.payload, self.body, "another request's event");
                match result {
                    StoreResult::Inserted => Heard::Inserted,
                    StoreResult::Duplicate => Heard::Duplicate,
                }
            }
            Err(StoreError::Rejected(_)) => Heard::Rejected,
            Err(StoreError::NotStored) => Heard::NotStored,
            Err(StoreError::QueueFull) => Heard::QueueFull,
        }
    }
}

/// Gives events of some types their fate. Two of three transactions with them fail, so that sending
/// them again helps.
async fn install_fates(db: &PgPool) {
    db.execute(
        "create function fail() returns trigger language plpgsql as $$ begin
             if pg_current_xact_id()::text::bigint % 3 = 0 then
                 return null;
             elsif new.event_type = 'LostConnection' then
                 perform pg_terminate_backend(pg_backend_pid());
             else
                 raise exception 'No space left on device' using errcode = '53100';
             end if;
             return null;
         end $$;
         create constraint trigger fail after insert on inbox_events
             deferrable initially deferred for each row
             when (new.event_type in ('FailedCommit', 'LostConnection'))
             execute function fail();",
    )
    .await
    .unwrap();
}

fn writer(db: &PgPool) -> InboxWriter {
    InboxWriter::new(Pool::from(db.clone()), Notifier::default())
}

/// Requests with few ids, so that many repeat one of the same batch or of an earlier one. An id has
/// one fate.
fn requests(dice: &mut StdRng, count: usize, fates: &[Fate]) -> Vec<Sent> {
    let ids = dice.random_range(1..=count);
    (0..count)
        .map(|number| {
            let id = dice.random_range(0..ids);
            // Most are harmless; the fate follows from the id.
            let fate = if id % 4 == 0 { fates[id / 4 % fates.len()] } else { Fate::Stored };
            Sent::new(number, format!("evt_{id}"), fate)
        })
        .collect()
}

/// The requests of the bodies that are stored, by event.
async fn stored(db: &PgPool) -> BTreeMap<String, Vec<u8>> {
    let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
        "select event_id, body from inbox_events join inbox_bodies using (event_id)",
    )
    .fetch_all(db)
    .await
    .unwrap();
    let (events, bodies): (i64, i64) = sqlx::query_as(
        "select (select count(*) from inbox_events), (select count(*) from inbox_bodies)",
    )
    .fetch_one(db)
    .await
    .unwrap();
    let count = i64::try_from(rows.len()).unwrap();
    assert_eq!((events, bodies), (count, count), "each event has one body");
    rows.into_iter().collect()
}

/// What one request heard is true: of an event that counts as stored there is one row, with the
/// body of the request that was the first.
fn check(heard: &[(Sent, Heard)], stored: &BTreeMap<String, Vec<u8>>, context: &str) {
    let mut first: BTreeMap<&str, &Bytes> = BTreeMap::new();
    for (sent, heard) in heard {
        let is_possible = match heard {
            Heard::Inserted | Heard::Duplicate => sent.fate != Fate::Rejected,
            Heard::Rejected => sent.fate == Fate::Rejected,
            Heard::NotStored => true,
            Heard::QueueFull => false,
        };
        assert!(is_possible, "{context}: {sent:?} heard {heard:?}");
        if matches!(heard, Heard::Inserted | Heard::Duplicate) {
            assert!(stored.contains_key(&sent.event_id), "{context}: {sent:?} is lost");
        }
        if *heard == Heard::Inserted {
            let before = first.insert(&sent.event_id, &sent.body);
            assert_eq!(before, None, "{context}: {} was inserted twice", sent.event_id);
        }
    }
    for (event_id, body) in first {
        assert_eq!(
            stored[event_id][..],
            body[..],
            "{context}: {event_id} has another request's body"
        );
    }
}

async fn clear(db: &PgPool) {
    db.execute("truncate inbox_events, inbox_bodies").await.unwrap();
}

/// A pool of its own, as small as the embedded Postgres' or larger.
async fn pool(db: &PgPool, dice: &mut StdRng) -> PgPool {
    let options = PgPoolOptions::new().max_connections(*[1, 2, 5].choose(dice).unwrap());
    options.connect_with((*db.connect_options()).clone()).await.unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_request_hears_its_own_outcome(db: PgPool) {
    install_fates(&db).await;
    let all = [Fate::Rejected, Fate::FailedCommit, Fate::LostConnection];
    let mut seen = BTreeSet::new();
    for seed in 0..20 {
        let mut dice = StdRng::seed_from_u64(seed);
        let (context, pool) = (format!("seed {seed}"), pool(&db, &mut dice).await);
        let writer = writer(&pool);
        let count = dice.random_range(1..300);
        let mut waiting = requests(&mut dice, count, &all);
        let mut heard = Vec::new();
        // Those that were not stored are sent again, as Stripe does, together with new repetitions.
        for round in 0.. {
            assert!(round < 100, "{context}: {waiting:?} are not accepted");
            let answers = join_all(waiting.iter().map(|sent| sent.store(&writer))).await;
            seen.extend(waiting.iter().zip(&answers).map(|(sent, heard)| (sent.fate, *heard)));
            let answered: Vec<_> = waiting.into_iter().zip(answers).collect();
            waiting = answered
                .iter()
                .filter(|(_, heard)| *heard == Heard::NotStored)
                .map(|(sent, _)| sent.clone())
                .collect();
            heard.extend(answered);
            check(&heard, &stored(&db).await, &context);
            if waiting.is_empty() {
                break;
            }
        }
        let accepted: BTreeSet<_> = heard
            .iter()
            .filter(|(sent, _)| sent.fate != Fate::Rejected)
            .map(|(sent, _)| sent.event_id.clone())
            .collect();
        assert_eq!(stored(&db).await.into_keys().collect::<BTreeSet<_>>(), accepted, "{context}");
        pool.close().await;
        clear(&db).await;
    }
    for outcome in [
        (Fate::Stored, Heard::Inserted),
        (Fate::Stored, Heard::Duplicate),
        (Fate::Stored, Heard::NotStored),
        (Fate::Rejected, Heard::Rejected),
        (Fate::Rejected, Heard::NotStored),
        (Fate::FailedCommit, Heard::NotStored),
        (Fate::FailedCommit, Heard::Inserted),
        (Fate::LostConnection, Heard::NotStored),
        (Fate::LostConnection, Heard::Inserted),
    ] {
        assert!(seen.contains(&outcome), "{outcome:?} never happened: {seen:?}");
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn of_equal_events_in_a_batch_the_first_is_stored(db: PgPool) {
    for seed in 0..10 {
        let mut dice = StdRng::seed_from_u64(seed);
        let writer = writer(&db);
        let sent = requests(&mut dice, 200, &[Fate::Rejected]);
        let heard = join_all(sent.iter().map(|sent| sent.store(&writer))).await;
        let mut before = BTreeSet::new();
        for (sent, heard) in sent.iter().zip(&heard) {
            let expected = if sent.fate == Fate::Rejected {
                Heard::Rejected
            } else if before.insert(&sent.event_id) {
                Heard::Inserted
            } else {
                Heard::Duplicate
            };
            assert_eq!(*heard, expected, "seed {seed}: {sent:?}");
        }
        clear(&db).await;
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn events_that_wait_share_a_statement_and_a_rejected_one_costs_few(db: PgPool) {
    db.execute(
        "create sequence statements;
         create function count_statement() returns trigger language plpgsql as $$ begin
             perform nextval('statements');
             return null;
         end $$;
         create trigger count_statement before insert on inbox_events
             for each statement execute function count_statement();",
    )
    .await
    .unwrap();
    // A sequence counts also what was rolled back.
    let statements = async || -> i64 {
        sqlx::query_scalar("select nextval('statements') - 1").fetch_one(&db).await.unwrap()
    };
    let send = async |fates: Vec<Fate>| {
        let sent = fates.into_iter().enumerate();
        let sent: Vec<Sent> =
            sent.map(|(number, fate)| Sent::new(number, format!("evt_{number}"), fate)).collect();
        let writer = writer(&db);
        let heard = join_all(sent.iter().map(|sent| sent.store(&writer))).await;
        heard.into_iter().filter(|heard| *heard == Heard::Inserted).count()
    };
    assert_eq!(send(vec![Fate::Stored; 256]).await, 256);
    let without = statements().await;
    assert!(without <= 2, "{without} statements for a batch");
    clear(&db).await;

    let mut with_one = vec![Fate::Stored; 256];
    with_one[100] = Fate::Rejected;
    assert_eq!(send(with_one).await, 255);
    let with = statements().await - without - 1;
    // The batch, and both halves of each half that it is in.
    assert!(with <= 1 + 2 * 8, "{with} statements for a batch with one rejected event");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_cancelled_request_costs_the_others_nothing(db: PgPool) {
    let writer = writer(&db);
    let sent: Vec<Sent> =
        (0..100).map(|n| Sent::new(n, format!("evt_{n}"), Fate::Stored)).collect();
    let requests = sent.iter().enumerate().map(async |(number, sent)| {
        let request = Box::pin(sent.store(&writer));
        if number % 3 == 0 {
            // Polled once, so that its event waits; then dropped.
            drop(select(request, std::future::ready(())).await);
            return None;
        }
        Some(request.await)
    });
    let heard = join_all(requests).await;
    assert_eq!(heard.iter().flatten().count(), 66);
    assert!(heard.iter().flatten().all(|heard| *heard == Heard::Inserted), "{heard:?}");
    let last = Sent::new(100, "evt_100".to_owned(), Fate::Stored);
    assert_eq!(last.store(&writer).await, Heard::Inserted);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn writers_of_the_same_events_do_not_wait_for_each_other(db: PgPool) {
    // Two processes that get the same events, each in its own order.
    let (one, other) = (writer(&db), writer(&db));
    let sent: Vec<Sent> =
        (0..5000).map(|n| Sent::new(n, format!("evt_{}", n % 250), Fate::Stored)).collect();
    let forward = async {
        let mut inserted = 0;
        for part in sent.chunks(250) {
            let heard = join_all(part.iter().map(|sent| sent.store(&one))).await;
            assert!(!heard.contains(&Heard::NotStored), "a deadlock");
            inserted += heard.iter().filter(|heard| **heard == Heard::Inserted).count();
        }
        inserted
    };
    let backward = async {
        let mut inserted = 0;
        for part in sent.chunks(250) {
            let heard = join_all(part.iter().rev().map(|sent| sent.store(&other))).await;
            assert!(!heard.contains(&Heard::NotStored), "a deadlock");
            inserted += heard.iter().filter(|heard| **heard == Heard::Inserted).count();
        }
        inserted
    };
    let (here, there) = futures_util::join!(forward, backward);
    assert_eq!(here + there, 250);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn more_events_than_may_wait_are_refused_for_now(db: PgPool) {
    /// As in `flow/inbox/writer`.
    const MAX_WAITING: usize = 1024;
    let app = TestApp::start(db).await;
    let body = |number| format!(r#"{{"id":"evt_{number}"}}"#).into_bytes();
    let requests = (0..MAX_WAITING + 10).map(|number| app.stripe_sends_bytes(body(number)));
    let answers = join_all(requests).await;
    let (accepted, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((accepted.len(), refused.len()), (MAX_WAITING, 10));
    for answer in refused {
        answer.expect_refused(503, "not_kept");
    }
    app.stripe_sends_bytes(body(MAX_WAITING)).await.expect_kept();
    app.run_due_work().await;
    app.finish().await;
}
