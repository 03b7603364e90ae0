//! The end of a campaign: waits until no work is left, then counts at Stripe, at the mail server
//! and in the database.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::PgPool;

use crate::World;

/// Waits until no work is left except an operator's. False if that takes too long.
pub async fn settle(world: &World, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    world.stripe.deliveries_finished().await;
    while Instant::now() < deadline {
        if is_done(world).await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    false
}

async fn is_done(world: &World) -> bool {
    let open = "select (select count(*) from jobs where state in ('queued', 'claimed')
             and kind in ('send_letter', 'mark_delivered', 'refresh_offer'))
                     + (select count(*) from inbox_events where state = 'unread')";
    one(&world.db, open).await == 0 && undelivered(world).await.is_empty()
}

/// Unfinished jobs about offers. Jobs about accounts are always scheduled for later.
pub async fn waiting(world: &World) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from jobs where state in ('queued', 'claimed')
             and kind in ('send_letter', 'mark_delivered', 'refresh_offer')",
    )
    .fetch_one(&world.db)
    .await
}

/// Offers that are undelivered at Stripe and have no letter that needs an operator.
async fn undelivered(world: &World) -> Vec<String> {
    let held: Vec<String> =
        sqlx::query_scalar("select offer_id from letters where state in ('held', 'rejected')")
            .fetch_all(&world.db)
            .await
            .unwrap();
    let mut waiting: Vec<String> = world
        .stripe
        .offers()
        .iter()
        .filter(|offer| offer["status"] == "undelivered")
        .map(|offer| offer["id"].as_str().unwrap().to_owned())
        .collect();
    waiting.retain(|offer| !held.contains(offer));
    waiting
}

async fn one(db: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(db).await.unwrap()
}

/// The Message-IDs of the letters at the mail server, by address.
fn letters(world: &World) -> HashMap<String, Vec<String>> {
    let mut letters: HashMap<String, Vec<String>> = HashMap::new();
    for letter in world.relay.letters() {
        letters.entry(letter.to[0].clone()).or_default().push(letter.header("Message-ID"));
    }
    letters
}

/// The counts.
struct Tally {
    lost: Vec<String>,
    duplicates: usize,
    other_message_ids: usize,
    marked_without_letter: usize,
    marked_twice: usize,
    replacements_marked: usize,
    /// Letters that were sent although their offer ended before it was marked.
    unmarked_ended: usize,
    /// Letters that were sent and whose offer is still undelivered at Stripe.
    unmarked_open: usize,
    held_uncertain: i64,
    /// Letters that need an operator.
    held: i64,
    /// Attempts with an unknown outcome because the process died.
    crashed_attempts: i64,
    uncertain_attempts: i64,
    recorded_sent: i64,
    recorded_but_missing: usize,
    /// Letters that were sent after the end of their offer was recorded.
    sent_after_end: i64,
    dead_jobs: i64,
    /// Letters that were withdrawn as expired although their offer has not expired.
    withdrawn_early: i64,
    /// Letters and events whose content was erased, although it is kept for a year.
    erased: i64,
}

const CRASHED_ATTEMPTS: &str = "select count(*) from timeline_entries
    where kind = 'letter.uncertain' and note like 'the process ended%'";
/// An entry gets its time before it waits for the offer's lock, so an attempt that holds the lock
/// can start later than that: hence the two seconds.
const SENT_AFTER_END: &str = "select count(*) from letters l
    where sent_at is not null and exists (
        select from timeline_entries t
        where t.offer_id = l.offer_id
          and t.recorded_at < l.sending_started_at - interval '2 seconds'
          and t.status_after in ('expired', 'replaced', 'accepted_other_offer', 'delivered',
                                 'accepted', 'rejected', 'canceled'))";
const WITHDRAWN_EARLY: &str = "select count(*) from letters l
    where state = 'withdrawn' and reason = 'offer_expired' and not exists (
        select from financing_offers o where o.offer_id = l.offer_id and o.status = 'expired')";
const ERASED: &str = "select (select count(*) from letters where erased_at is not null)
    + (select count(*) from inbox_events e
       where not exists (select from inbox_bodies b where b.event_id = e.event_id))";
const HELD_UNCERTAIN: &str =
    "select count(*) from letters where state = 'held' and reason = 'uncertain'";

async fn tally(world: &World) -> Tally {
    let (letters, offers) = (letters(world), world.stripe.offers());
    let addresses = world.stripe.account_emails();
    let letters_of = |offer: &Value| {
        let address = &addresses[offer["account"].as_str().unwrap()];
        letters.get(address).map(Vec::as_slice).unwrap_or_default()
    };
    let marks = |offer: &Value| world.stripe.delivered_marks(offer["id"].as_str().unwrap());
    // A replacement belongs to the same account, is delivered by Stripe and gets no letter.
    let (originals, replacements): (Vec<&Value>, Vec<&Value>) =
        offers.iter().partition(|offer| offer["replacement_for"].is_null());
    let count = |all: &[&Value], holds: &dyn Fn(&Value) -> bool| {
        all.iter().filter(|offer| holds(offer)).count()
    };
    let unmarked = |offer: &Value| !letters_of(offer).is_empty() && marks(offer) == 0;
    let is_open = |offer: &Value| offer["status"] == "undelivered";
    Tally {
        lost: undelivered(world).await,
        duplicates: originals.iter().map(|offer| letters_of(offer).len().saturating_sub(1)).sum(),
        other_message_ids: count(&originals, &|offer| {
            letters_of(offer).windows(2).any(|pair| pair[0] != pair[1])
        }),
        marked_without_letter: count(&originals, &|offer| {
            marks(offer) > 0 && letters_of(offer).is_empty()
        }),
        marked_twice: count(&originals, &|offer| marks(offer) > 1),
        replacements_marked: count(&replacements, &|offer| marks(offer) > 0),
        unmarked_ended: count(&originals, &|offer| unmarked(offer) && !is_open(offer)),
        unmarked_open: count(&originals, &|offer| unmarked(offer) && is_open(offer)),
        held_uncertain: one(&world.db, HELD_UNCERTAIN).await,
        held: one(&world.db, "select count(*) from letters where state in ('held', 'rejected')")
            .await,
        crashed_attempts: one(&world.db, CRASHED_ATTEMPTS).await,
        uncertain_attempts: one(
            &world.db,
            "select coalesce(sum(uncertain_attempts), 0)::bigint from letters",
        )
        .await,
        recorded_sent: one(&world.db, "select count(*) from letters where state = 'sent'").await,
        recorded_but_missing: recorded_but_missing(world, &letters).await,
        sent_after_end: one(&world.db, SENT_AFTER_END).await,
        dead_jobs: one(
            &world.db,
            "select count(*) from jobs where state = 'dead' and kind <> 'mark_delivered'",
        )
        .await,
        withdrawn_early: one(&world.db, WITHDRAWN_EARLY).await,
        erased: one(&world.db, ERASED).await,
    }
}

/// Label, count, and whether the count is as it must be.
type Row = (&'static str, String, bool);

fn observations(world: &World, tally: &Tally) -> Vec<Row> {
    let kills =
        (world.kills.load(Ordering::SeqCst), world.kills_while_uncertain.load(Ordering::SeqCst));
    let events = (world.stripe.event_count(), world.stripe.offers().len());
    let observed = |label, count| (label, count, true);
    vec![
        observed("replicas / kills", format!("{} / {}", world.plan.replicas, kills.0)),
        observed("kills at a point where the outcome becomes unknown", kills.1.to_string()),
        observed("events / offers at Stripe", format!("{} / {}", events.0, events.1)),
        observed(
            "letters at the mail server / recorded as sent",
            format!("{} / {}", world.relay.count(), tally.recorded_sent),
        ),
        observed("unknown outcomes: the process died", tally.crashed_attempts.to_string()),
        observed(
            "unknown outcomes: no reply from the relay",
            (tally.uncertain_attempts - tally.crashed_attempts).to_string(),
        ),
        observed(
            "messages that the relay accepted without a reply",
            world.relay.unanswered().to_string(),
        ),
        observed(
            "letters whose offer ended before it was marked",
            tally.unmarked_ended.to_string(),
        ),
    ]
}

fn requirements(world: &World, tally: &Tally, settled: bool, settle_time: Duration) -> Vec<Row> {
    let restarts = world.postgres_restarts.load(Ordering::SeqCst);
    let exits = world.unexpected_exits.lock().unwrap().len();
    // A short run may be over before the first restart.
    let is_long = world.plan.kills >= 100;
    let max_duplicates =
        if world.plan.resend { usize::try_from(tally.uncertain_attempts).unwrap() } else { 0 };
    let none = |label, count: usize| (label, count.to_string(), count == 0);
    vec![
        ("restarts of Postgres", restarts.to_string(), restarts > 0 || !is_long),
        none("replicas that exited by themselves", exits),
        none("**lost**: still undelivered, and not held for an operator", tally.lost.len()),
        (
            "**duplicates** under the same Message-ID",
            tally.duplicates.to_string(),
            tally.duplicates <= max_duplicates,
        ),
        none("duplicates under another Message-ID", tally.other_message_ids),
        none("**marked without a letter**", tally.marked_without_letter),
        none("marked twice", tally.marked_twice),
        none("replacements marked, which Stripe delivers itself", tally.replacements_marked),
        (
            "letters sent and not marked: all held as uncertain",
            tally.unmarked_open.to_string(),
            i64::try_from(tally.unmarked_open).unwrap() <= tally.held_uncertain,
        ),
        (
            "held letters: all of them uncertain",
            tally.held.to_string(),
            tally.held == tally.held_uncertain,
        ),
        none(
            "sent after the end of their offer was recorded",
            usize::try_from(tally.sent_after_end).unwrap(),
        ),
        none("recorded as sent, and never at the mail server", tally.recorded_but_missing),
        none(
            "dead jobs, except marks of offers that ended",
            usize::try_from(tally.dead_jobs).unwrap(),
        ),
        none(
            "withdrawn as expired before the end",
            usize::try_from(tally.withdrawn_early).unwrap(),
        ),
        none("erased too early", usize::try_from(tally.erased).unwrap()),
        (
            "seconds from the last fault to nothing left to do",
            settle_time.as_secs().to_string(),
            settled,
        ),
    ]
}

/// Counts and prints the table. True if every count is as it must be.
pub async fn table(
    world: &World,
    settled: bool,
    fault_time: Duration,
    settle_time: Duration,
) -> bool {
    let tally = tally(world).await;
    let policy = if world.plan.resend { "resend" } else { "hold" };
    println!(
        "seed {}, `when_uncertain = {policy}`, {} s of faults\n",
        world.plan.seed,
        fault_time.as_secs()
    );
    println!("| counted | | |\n|---|---:|---|");
    let mut passed = true;
    for (label, count, is_right) in observations(world, &tally).into_iter().chain(requirements(
        world,
        &tally,
        settled,
        settle_time,
    )) {
        println!("| {label} | {count} | {} |", if is_right { "" } else { "WRONG" });
        passed &= is_right;
    }
    for report in world.unexpected_exits.lock().unwrap().iter().take(3) {
        eprintln!("{report}");
    }
    for offer in tally.lost.iter().take(5) {
        explain(world, offer).await;
    }
    passed
}

/// Letters that are recorded as sent, but are not at the mail server.
async fn recorded_but_missing(world: &World, letters: &HashMap<String, Vec<String>>) -> usize {
    let received: HashSet<&String> = letters.values().flatten().collect();
    let recorded: Vec<String> =
        sqlx::query_scalar("select '<' || message_id || '>' from letters where state = 'sent'")
            .fetch_all(&world.db)
            .await
            .unwrap();
    recorded.iter().filter(|id| !received.contains(id)).count()
}

/// Prints the timeline and the jobs of a lost offer.
async fn explain(world: &World, offer: &str) {
    let timeline: Vec<(String, Option<String>)> = sqlx::query_as(
        "select kind, note from timeline_entries where offer_id = $1 order by timeline_entry_id",
    )
    .bind(offer)
    .fetch_all(&world.db)
    .await
    .unwrap();
    let jobs: Vec<(String, String, i32, Option<String>)> = sqlx::query_as(
        "select kind, state, attempt, last_error from jobs where subject like $1 || '%'",
    )
    .bind(offer)
    .fetch_all(&world.db)
    .await
    .unwrap();
    eprintln!("{offer}: {timeline:?} {jobs:?}");
}
