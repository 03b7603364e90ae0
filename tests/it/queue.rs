//! Leases and outcomes: a worker that lost its lease records nothing, and the next one continues.

use std::time::Duration;

use capital_courier::offers::request_refresh;
use capital_courier::queue::{
    self, AttemptError, Claim, ClaimRequest, NewJob, Outcome, Queued, claim, delete_done, enqueue,
    finish, lock_claim, renew, requeue,
};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

use crate::support::day_one;

const LEASE: Duration = Duration::from_mins(1);

fn request(limit: usize) -> ClaimRequest<'static> {
    ClaimRequest { kind: "test", limit, fresh: limit, lease: LEASE, grace: Duration::ZERO }
}

async fn claim_one(db: &PgPool, now: DateTime<Utc>) -> Option<Claim> {
    claim(db, &request(1), now).await.unwrap().pop()
}

#[track_caller]
fn expect_lease_lost(result: &Result<(), AttemptError>) {
    assert!(matches!(result, Err(AttemptError::LeaseLost)), "{result:?}");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_job_is_queued_once_even_after_it_is_done(db: PgPool) {
    let now = day_one();
    assert_eq!(enqueue(&db, "test", "a", now).await.unwrap(), Queued::Inserted);
    assert_eq!(enqueue(&db, "test", "a", now).await.unwrap(), Queued::Duplicate);
    let held = claim_one(&db, now).await.unwrap();
    finish(&db, &held, Outcome::Done, now).await.unwrap();
    assert_eq!(enqueue(&db, "test", "a", now).await.unwrap(), Queued::Duplicate);
    assert!(claim_one(&db, now + TimeDelta::days(1)).await.is_none());
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_worker_that_lost_its_lease_can_neither_finish_nor_renew(db: PgPool) {
    let now = day_one();
    enqueue(&db, "test", "a", now).await.unwrap();
    let first = claim_one(&db, now).await.unwrap();
    assert!(claim_one(&db, now + TimeDelta::seconds(59)).await.is_none(), "the lease still holds");
    let later = now + TimeDelta::seconds(60);
    let second = claim_one(&db, later).await.unwrap();
    assert_eq!((first.attempt, second.attempt), (1, 2));

    expect_lease_lost(&finish(&db, &first, Outcome::Done, later).await);
    expect_lease_lost(&renew(&db, &first, LEASE, later).await);
    expect_lease_lost(&lock_claim(&db, &first).await);
    finish(&db, &second, Outcome::Done, later).await.unwrap();
    // A job is finished once.
    expect_lease_lost(&finish(&db, &second, Outcome::Done, later).await);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_renewed_lease_lasts_from_its_renewal(db: PgPool) {
    let now = day_one();
    enqueue(&db, "test", "a", now).await.unwrap();
    let held = claim_one(&db, now).await.unwrap();
    let half = now + TimeDelta::seconds(30);
    renew(&db, &held, LEASE, half).await.unwrap();
    assert!(claim_one(&db, now + TimeDelta::seconds(89)).await.is_none());
    assert!(claim_one(&db, now + TimeDelta::seconds(90)).await.is_some());
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_retried_job_waits_until_due_and_a_dead_one_stays_dead(db: PgPool) {
    let now = day_one();
    enqueue(&db, "test", "a", now).await.unwrap();
    let held = claim_one(&db, now).await.unwrap();
    let due = now + TimeDelta::minutes(5);
    let outcome = Outcome::Retry { at: due, error: "not yet" };
    finish(&db, &held, outcome, now).await.unwrap();
    assert!(claim_one(&db, due - TimeDelta::seconds(1)).await.is_none());
    let held = claim_one(&db, due).await.unwrap();
    finish(&db, &held, Outcome::Discard { error: "never" }, due).await.unwrap();
    assert!(claim_one(&db, due + TimeDelta::days(1)).await.is_none());
    assert_eq!(queue::dead_count(&db).await.unwrap(), 1);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn concurrent_workers_claim_each_job_once(db: PgPool) {
    let now = day_one();
    for subject in 0..200 {
        enqueue(&db, "test", &subject.to_string(), now).await.unwrap();
    }
    let claims = futures_util::future::join_all((0..8).map(|_| async {
        let mut claimed = Vec::new();
        loop {
            let batch = claim(&db, &request(7), now).await.unwrap();
            if batch.is_empty() {
                return claimed;
            }
            claimed.extend(batch.into_iter().map(|claim| claim.subject));
        }
    }))
    .await;
    let mut all: Vec<String> = claims.into_iter().flatten().collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 200);
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn grace_after_an_outage_lets_the_holder_renew(db: PgPool) {
    let now = day_one();
    enqueue(&db, "test", "a", now).await.unwrap();
    let held = claim_one(&db, now).await.unwrap();
    let with_grace = ClaimRequest { grace: LEASE, ..request(1) };
    let back = now + TimeDelta::seconds(119);
    assert!(claim(&db, &with_grace, back).await.unwrap().is_empty());
    renew(&db, &held, LEASE, back).await.unwrap();
    finish(&db, &held, Outcome::Done, back).await.unwrap();

    enqueue(&db, "test", "b", now).await.unwrap();
    claim_one(&db, now).await.unwrap();
    let dead = now + TimeDelta::seconds(120);
    let claimed = claim(&db, &with_grace, dead).await.unwrap().len();
    assert_eq!(claimed, 1, "the grace ends");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_snooze_costs_no_attempt_and_a_reschedule_resets_them(db: PgPool) {
    let now = day_one();
    enqueue(&db, "test", "a", now).await.unwrap();
    for _ in 0..3 {
        let held = claim_one(&db, now).await.unwrap();
        assert_eq!(held.attempt, 1);
        let outcome = Outcome::Snooze { at: now, error: "down" };
        finish(&db, &held, outcome, now).await.unwrap();
    }
    let held = claim_one(&db, now).await.unwrap();
    finish(&db, &held, Outcome::Retry { at: now, error: "no" }, now).await.unwrap();
    let held = claim_one(&db, now).await.unwrap();
    assert_eq!(held.attempt, 2);
    let outcome = Outcome::Reschedule { at: now + TimeDelta::minutes(5) };
    finish(&db, &held, outcome, now).await.unwrap();
    assert!(claim_one(&db, now + TimeDelta::minutes(4)).await.is_none());
    let held = claim_one(&db, now + TimeDelta::minutes(5)).await.unwrap();
    let error: Option<String> =
        sqlx::query_scalar("select last_error from jobs").fetch_one(&db).await.unwrap();
    assert_eq!((held.attempt, error), (1, None));
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_claim_scans_no_more_than_its_limit(db: PgPool) {
    sqlx::query(
        "insert into jobs (kind, key, subject, due_at, queued_at)
         select 'test', 'test:' || n, n::text, now() - interval '1 day', now()
         from generate_series(1, 20000) as n",
    )
    .execute(&db)
    .await
    .unwrap();
    sqlx::query("analyze jobs").execute(&db).await.unwrap();
    for priority in ["not low_priority", "low_priority"] {
        let query = format!(
            "explain select job_id from jobs
             where kind = 'test' and state = 'queued' and {priority} and due_at <= now()
             order by due_at, job_id limit 8 for update skip locked"
        );
        let plan: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_all(&db).await.unwrap();
        let plan = plan.join("\n");
        assert!(plan.contains("jobs_queued") && !plan.contains("Sort"), "{plan}");
    }
}

/// The subjects of all jobs with their states.
async fn jobs(db: &PgPool) -> Vec<(String, String)> {
    sqlx::query_as("select subject, state from jobs order by kind, subject")
        .fetch_all(db)
        .await
        .unwrap()
}

async fn run_to(db: &PgPool, subject: &str, outcome: Outcome<'_>, now: DateTime<Utc>) {
    enqueue(db, "test", subject, now).await.unwrap();
    let held = claim_one(db, now).await.unwrap();
    finish(db, &held, outcome, now).await.unwrap();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn done_jobs_leave_the_longest_done_first(db: PgPool) {
    let now = day_one();
    for (minute, subject) in [(0, "a"), (1, "b"), (2, "c"), (9, "d")] {
        run_to(&db, subject, Outcome::Done, now + TimeDelta::minutes(minute)).await;
    }
    run_to(&db, "dead", Outcome::Discard { error: "never" }, now).await;
    enqueue(&db, "test", "queued", now).await.unwrap();
    enqueue(&db, "other", "queued", now).await.unwrap();
    let (start, before) = (DateTime::UNIX_EPOCH, now + TimeDelta::minutes(9));
    let mut requeuing = db.begin().await.unwrap();
    assert!(requeue(&mut *requeuing, &NewJob::new("test", "b", now)).await.unwrap());
    let left = delete_done(&db, "test", start, before, 1).await.unwrap();
    assert_eq!(left, Some((1, now)));
    let left = delete_done(&db, "test", now, before, 10).await.unwrap();
    assert_eq!(left, Some((1, now + TimeDelta::minutes(2))), "b is being queued again");
    assert_eq!(delete_done(&db, "other", start, before, 10).await.unwrap(), None);
    requeuing.commit().await.unwrap();
    let states = [("queued", "queued"), ("b", "queued"), ("d", "done"), ("dead", "dead")];
    let states = states.into_iter().chain([("queued", "queued")]);
    assert_eq!(
        jobs(&db).await,
        states.map(|(subject, state)| (subject.into(), state.into())).collect::<Vec<_>>()
    );
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_job_that_has_left_is_queued_anew(db: PgPool) {
    let (now, later) = (day_one(), day_one() + TimeDelta::days(8));
    run_to(&db, "a", Outcome::Done, now).await;
    let held_by_worker = NewJob::new("test", "claimed", now);
    assert!(requeue(&db, &held_by_worker).await.unwrap());
    claim_one(&db, now).await.unwrap();
    delete_done(&db, "test", DateTime::UNIX_EPOCH, later, 10).await.unwrap();
    let low = NewJob { low_priority: true, ..NewJob::new("test", "a", later) };
    assert!(requeue(&db, &low).await.unwrap());
    assert!(!requeue(&db, &low).await.unwrap(), "it is queued already");
    assert!(!requeue(&db, &held_by_worker).await.unwrap(), "it is claimed");
    let queued: (String, String, bool, DateTime<Utc>) =
        sqlx::query_as("select kind, key, low_priority, due_at from jobs where subject = 'a'")
            .fetch_one(&db)
            .await
            .unwrap();
    assert_eq!(queued, ("test".into(), "test:a".into(), true, later));
}

/// The request finds the done job, and loses it before it can be queued again.
#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_job_that_leaves_while_it_is_requested_is_queued_anew(db: PgPool) {
    let (now, offer) = (day_one(), "financingoffer_1");
    let request = async || {
        let mut tx = db.begin().await.unwrap();
        request_refresh(&mut tx, offer, "test", now).await.unwrap();
        tx.commit().await.unwrap();
    };
    request().await;
    sqlx::query("update jobs set state = 'done', finished_at = $1")
        .bind(now - TimeDelta::days(8))
        .execute(&db)
        .await
        .unwrap();
    let mut leaving = db.begin().await.unwrap();
    sqlx::query("select from jobs for update").execute(&mut *leaving).await.unwrap();
    let leave = async {
        let is_waiting = "select exists (select from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock')";
        while !sqlx::query_scalar::<_, bool>(is_waiting).fetch_one(&db).await.unwrap() {
            tokio::task::yield_now().await;
        }
        sqlx::query("delete from jobs").execute(&mut *leaving).await.unwrap();
        leaving.commit().await.unwrap();
    };
    tokio::join!(request(), leave);
    assert_eq!(jobs(&db).await, [(format!("{offer}/test"), "queued".to_owned())]);
}
