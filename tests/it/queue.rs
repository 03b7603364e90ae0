//! Leases: whoever lost one can finish nothing, and whoever comes next goes on.

use std::time::Duration;

use capital_courier::queue::{
    self, Claim, ClaimRequest, Finished, Outcome, Queued, claim, enqueue, finish, lock_claim, renew,
};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

use crate::support::day_one;

const LEASE: Duration = Duration::from_mins(1);

fn wanted(limit: usize) -> ClaimRequest<'static> {
    ClaimRequest { kind: "test", limit, fresh: limit, lease: LEASE, grace: Duration::ZERO }
}

async fn claim_one(db: &PgPool, now: DateTime<Utc>) -> Option<Claim> {
    claim(db, &wanted(1), now).await.unwrap().pop()
}

async fn finish_as(
    db: &PgPool,
    claim: &Claim,
    ending: Outcome<'_>,
    now: DateTime<Utc>,
) -> Finished {
    let mut tx = db.begin().await.unwrap();
    let finished = finish(&mut tx, claim, ending, now).await.unwrap();
    tx.commit().await.unwrap();
    finished
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_same_work_is_queued_once_even_after_it_is_done(db: PgPool) {
    let now = day_one();
    assert_eq!(enqueue(&db, "test", "a", now).await.unwrap(), Queued::Inserted);
    assert_eq!(enqueue(&db, "test", "a", now).await.unwrap(), Queued::Duplicate);
    let held = claim_one(&db, now).await.unwrap();
    assert_eq!(finish_as(&db, &held, Outcome::Done, now).await, Finished::Yes);
    assert_eq!(enqueue(&db, "test", "a", now).await.unwrap(), Queued::Duplicate);
    assert!(claim_one(&db, now + TimeDelta::days(1)).await.is_none());
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_worker_that_lost_its_lease_can_neither_finish_nor_renew(db: PgPool) {
    let now = day_one();
    enqueue(&db, "test", "a", now).await.unwrap();
    let first = claim_one(&db, now).await.unwrap();
    assert!(claim_one(&db, now + TimeDelta::seconds(59)).await.is_none(), "the lease still held");
    let later = now + TimeDelta::seconds(60);
    let second = claim_one(&db, later).await.unwrap();
    assert_eq!((first.attempt, second.attempt), (1, 2));

    assert_eq!(finish_as(&db, &first, Outcome::Done, later).await, Finished::LeaseLost);
    assert_eq!(renew(&db, &first, LEASE, later).await.unwrap(), Finished::LeaseLost);
    assert_eq!(lock_claim(&db, &first).await.unwrap(), Finished::LeaseLost);
    assert_eq!(finish_as(&db, &second, Outcome::Done, later).await, Finished::Yes);
    assert_eq!(
        finish_as(&db, &second, Outcome::Done, later).await,
        Finished::LeaseLost,
        "finished twice"
    );
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_renewed_lease_lasts_from_its_renewal(db: PgPool) {
    let now = day_one();
    enqueue(&db, "test", "a", now).await.unwrap();
    let held = claim_one(&db, now).await.unwrap();
    let half = now + TimeDelta::seconds(30);
    assert_eq!(renew(&db, &held, LEASE, half).await.unwrap(), Finished::Yes);
    assert!(claim_one(&db, now + TimeDelta::seconds(89)).await.is_none());
    assert!(claim_one(&db, now + TimeDelta::seconds(90)).await.is_some());
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_job_comes_back_when_it_is_due_and_a_dead_one_never(db: PgPool) {
    let now = day_one();
    enqueue(&db, "test", "a", now).await.unwrap();
    let held = claim_one(&db, now).await.unwrap();
    let due = now + TimeDelta::minutes(5);
    let ending = Outcome::Retry { at: due, error: "not yet" };
    assert_eq!(finish_as(&db, &held, ending, now).await, Finished::Yes);
    assert!(claim_one(&db, due - TimeDelta::seconds(1)).await.is_none());
    let held = claim_one(&db, due).await.unwrap();
    assert_eq!(
        finish_as(&db, &held, Outcome::Discard { error: "never" }, due).await,
        Finished::Yes
    );
    assert!(claim_one(&db, due + TimeDelta::days(1)).await.is_none());
    assert_eq!(queue::dead_count(&db).await.unwrap(), 1);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn many_workers_at_once_claim_each_job_once(db: PgPool) {
    let now = day_one();
    for subject in 0..200 {
        enqueue(&db, "test", &subject.to_string(), now).await.unwrap();
    }
    let claims = futures_util::future::join_all((0..8).map(|_| async {
        let mut mine = Vec::new();
        loop {
            let some = claim(&db, &wanted(7), now).await.unwrap();
            if some.is_empty() {
                return mine;
            }
            mine.extend(some.into_iter().map(|claim| claim.subject));
        }
    }))
    .await;
    let mut all: Vec<String> = claims.into_iter().flatten().collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 200);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn after_an_outage_of_the_database_the_holder_of_a_lease_comes_first(db: PgPool) {
    let now = day_one();
    enqueue(&db, "test", "a", now).await.unwrap();
    let held = claim_one(&db, now).await.unwrap();
    let patient = ClaimRequest { grace: LEASE, ..wanted(1) };
    let back = now + TimeDelta::seconds(119);
    assert!(claim(&db, &patient, back).await.unwrap().is_empty());
    assert_eq!(renew(&db, &held, LEASE, back).await.unwrap(), Finished::Yes);
    assert_eq!(finish_as(&db, &held, Outcome::Done, back).await, Finished::Yes);

    enqueue(&db, "test", "b", now).await.unwrap();
    claim_one(&db, now).await.unwrap();
    let dead = now + TimeDelta::seconds(120);
    assert_eq!(
        claim(&db, &patient, dead).await.unwrap().len(),
        1,
        "a dead holder holds up nobody for ever"
    );
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_is_postponed_costs_no_attempt_and_what_is_done_for_now_begins_anew(db: PgPool) {
    let now = day_one();
    enqueue(&db, "test", "a", now).await.unwrap();
    for _ in 0..3 {
        let held = claim_one(&db, now).await.unwrap();
        assert_eq!(held.attempt, 1);
        let ending = Outcome::Snooze { at: now, error: "down" };
        assert_eq!(finish_as(&db, &held, ending, now).await, Finished::Yes);
    }
    let held = claim_one(&db, now).await.unwrap();
    assert_eq!(
        finish_as(&db, &held, Outcome::Retry { at: now, error: "no" }, now).await,
        Finished::Yes
    );
    let held = claim_one(&db, now).await.unwrap();
    assert_eq!(held.attempt, 2);
    let ending = Outcome::Reschedule { at: now + TimeDelta::minutes(5) };
    assert_eq!(finish_as(&db, &held, ending, now).await, Finished::Yes);
    assert!(claim_one(&db, now + TimeDelta::minutes(4)).await.is_none());
    let held = claim_one(&db, now + TimeDelta::minutes(5)).await.unwrap();
    let error: Option<String> =
        sqlx::query_scalar("select last_error from jobs").fetch_one(&db).await.unwrap();
    assert_eq!((held.attempt, error), (1, None));
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_claim_walks_no_further_than_it_takes(db: PgPool) {
    sqlx::query(
        "insert into jobs (kind, key, subject, due_at, queued_at)
         select 'test', 'test:' || n, n::text, now() - interval '1 day', now() from generate_series(1, 20000) as n",
    )
    .execute(&db)
    .await
    .unwrap();
    sqlx::query("analyze jobs").execute(&db).await.unwrap();
    for whose in ["not low_priority", "low_priority"] {
        let query = format!(
            "explain select job_id from jobs where kind = 'test' and state = 'queued' and {whose} and due_at <= now()
             order by due_at, job_id limit 8 for update skip locked"
        );
        let plan: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_all(&db).await.unwrap();
        let plan = plan.join("\n");
        assert!(plan.contains("jobs_queued") && !plan.contains("Sort"), "{plan}");
    }
}
