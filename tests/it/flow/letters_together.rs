//! Letters whose `sending` is committed by one transaction: each has an outcome of its own.

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, PgPool};
use stripe_simulator::{NewAccount, NewOffer, Simulator, WebhookEndpoint};

use crate::cli::run_ok;
use crate::support::SECRET;
use crate::support::process::{self, Process};
use crate::support::smtp::Relay;
use crate::support::wait::eventually;

const LETTERS: usize = 12;
/// Of `pauses`: whoever begins to send waits for it, with its job, before it has written anything.
const LOCK: &str = "select pg_advisory_xact_lock(x'706175736573'::bigint)";

/// Letters that are ready to leave, all but the first few in the group that comes next.
struct Gathered {
    stripe: Simulator,
    relay: Relay,
    process: Process,
    db: PgPool,
    /// Holds the first group.
    obstacle: sqlx::Transaction<'static, sqlx::Postgres>,
    /// The ids of the letters that wait for the first group to end.
    next: Vec<String>,
}

impl Gathered {
    async fn start(db: PgPool) -> Self {
        let (stripe, relay, mut env) = process::world(&db).await;
        // The jobs are held up for longer than a short lease.
        env.insert("COURIER_QUEUE__LEASE".to_owned(), "60s".to_owned());
        run_ok(&db, &["pause", "--reason", "to gather"]).await;
        let process = Process::serve(&env).await;
        announce(&stripe, process.webhook.as_deref().unwrap());
        let waiting = "select count(*) from letters where state = 'waiting'";
        eventually(|| process.logged(), async || count(&db, waiting).await == LETTERS).await;

        run_ok(&db, &["resume", "--reason", "all are here"]).await;
        let mut obstacle = db.begin().await.unwrap();
        sqlx::query(LOCK).execute(&mut *obstacle).await.unwrap();
        let opened = || relay.commands().iter().filter(|command| *command == "DATA").count();
        eventually(|| process.logged(), async || opened() == LETTERS).await;
        // The last ones may have yet to hear the relay's 354.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let next = next_group(&db).await;
        assert!(next.len() >= LETTERS / 2, "{} of {LETTERS} letters gathered", next.len());
        Self { stripe, relay, process, db, obstacle, next }
    }

    /// Takes letters off the group for a test's own purpose.
    fn take<const N: usize>(&mut self) -> [String; N] {
        std::array::from_fn(|_| self.next.pop().unwrap())
    }

    async fn execute(&self, statement: &'static str, letter: &str) {
        let done = sqlx::query(statement).bind(letter).execute(&self.db).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{statement}");
    }

    /// Lets the letters go and waits until all but these have left.
    async fn release(self, stopped: usize) -> (HashMap<String, (String, Option<String>)>, Process) {
        self.obstacle.rollback().await.unwrap();
        let sent = "select count(*) from letters where state = 'sent'";
        let all_sent = async || count(&self.db, sent).await == LETTERS - stopped;
        eventually(|| self.process.logged(), all_sent).await;
        assert_eq!(self.relay.letters().len(), LETTERS - stopped, "each left once");
        let marked = async || {
            let calls = self.stripe.requests();
            calls.iter().filter(|call| call.path.ends_with("/mark_delivered")).count()
                == LETTERS - stopped
        };
        eventually(|| self.process.logged(), marked).await;
        let states: Vec<(String, String, Option<String>)> =
            sqlx::query_as("select letter_id, state, reason from letters")
                .fetch_all(&self.db)
                .await
                .unwrap();
        let states = states.into_iter().map(|(letter, state, reason)| (letter, (state, reason)));
        (states.collect(), self.process)
    }
}

/// Creates offers of as many merchants at as many mail domains.
fn announce(stripe: &Simulator, webhook: &str) {
    stripe.register_webhook(WebhookEndpoint {
        url: webhook.parse().unwrap(),
        secrets: vec![SECRET.to_owned()],
        first_retry_after: std::time::Duration::from_millis(100),
        max_attempts: 5,
        copies: 1,
        max_delay: std::time::Duration::ZERO,
    });
    for number in 0..LETTERS {
        let account = NewAccount {
            name: Some("Jenny's Bakery".to_owned()),
            email: Some(format!("jenny@bakery{number}.example")),
            country: None,
        };
        stripe.create_offer(&stripe.add_account(&account), &NewOffer::default());
    }
}

async fn count(db: &PgPool, query: &'static str) -> usize {
    let count: i64 = sqlx::query_scalar(query).fetch_one(db).await.unwrap();
    usize::try_from(count).unwrap()
}

/// The letters whose jobs no transaction has locked.
async fn next_group(db: &PgPool) -> Vec<String> {
    let mut tx = db.begin().await.unwrap();
    sqlx::query_scalar("select subject from jobs where kind = 'send_letter' for update skip locked")
        .fetch_all(&mut *tx)
        .await
        .unwrap()
}

/// By the transactions that recorded the attempts of these letters.
async fn transactions(db: &mut PgConnection, letters: &[String]) -> HashSet<String> {
    let ids: Vec<String> =
        sqlx::query_scalar("select xmin::text from delivery_attempts where letter_id = any($1)")
            .bind(letters)
            .fetch_all(db)
            .await
            .unwrap();
    assert_eq!(ids.len(), letters.len());
    ids.into_iter().collect()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_obstacle_stops_its_letter_and_no_other(db: PgPool) {
    let mut gathered = Gathered::start(db.clone()).await;
    let [opted_out, ended, taken_over, held] = gathered.take();
    gathered
        .execute(
            "insert into opt_outs (account_id, source, opted_out_at)
             select account_id, 'operator', now() from letters where letter_id = $1",
            &opted_out,
        )
        .await;
    gathered
        .execute(
            "update financing_offers set status = 'expired'
             where offer_id = (select offer_id from letters where letter_id = $1)",
            &ended,
        )
        .await;
    // As another worker does, which now takes its time.
    gathered
        .execute("update jobs set lease_token = gen_random_uuid() where subject = $1", &taken_over)
        .await;
    gathered
        .execute(
            "update letters set state = 'held', reason = 'not_approved' where letter_id = $1",
            &held,
        )
        .await;
    let others = gathered.next.clone();
    let (states, process) = gathered.release(4).await;

    let state = |letter: &str| {
        let (state, reason) = &states[letter];
        (state.clone(), reason.clone())
    };
    let because = |reason: &str| Some(reason.to_owned());
    assert_eq!(state(&opted_out), ("suppressed".to_owned(), because("opted_out")));
    assert_eq!(state(&ended), ("withdrawn".to_owned(), because("offer_expired")));
    assert_eq!(state(&taken_over), ("waiting".to_owned(), None));
    assert_eq!(state(&held), ("held".to_owned(), because("not_approved")));
    assert!(!process.logged_lines("lost the lease").is_empty(), "{}", process.logged());
    let transactions = transactions(&mut db.acquire().await.unwrap(), &others).await;
    assert!(transactions.len() < others.len(), "{transactions:?}: the others share transactions");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_attempt_that_cannot_be_recorded_fails_alone(db: PgPool) {
    let mut gathered = Gathered::start(db.clone()).await;
    let [refused] = gathered.take();
    let constraint = format!(
        "alter table delivery_attempts add constraint refused check (letter_id <> '{refused}')"
    );
    sqlx::query(sqlx::AssertSqlSafe(constraint)).execute(&db).await.unwrap();
    let others = gathered.next.clone();
    let (states, process) = gathered.release(1).await;

    assert_eq!(states[&refused], ("waiting".to_owned(), None));
    let job = "select last_error from jobs where kind = 'send_letter' and last_error is not null";
    let mut errors: Vec<String> = Vec::new();
    let is_recorded = async || {
        errors = sqlx::query_scalar(job).fetch_all(&db).await.unwrap();
        !errors.is_empty()
    };
    eventually(|| process.logged(), is_recorded).await;
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("\"refused\""), "{errors:?}");
    let transactions = transactions(&mut db.acquire().await.unwrap(), &others).await;
    assert!(transactions.len() > 1, "{transactions:?}: each was recorded alone");
}
