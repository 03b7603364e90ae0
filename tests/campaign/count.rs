//! The end: waits until everybody is done, and counts from three sides.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::PgPool;

use crate::World;

/// Waits until nothing is left to do that is not for a person; false where that takes too long.
pub async fn settle(world: &World, longest: Duration) -> bool {
    let deadline = Instant::now() + longest;
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

/// Jobs about offers that are not done; those that look after accounts wait on purpose.
pub async fn waiting(world: &World) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from jobs where state in ('queued', 'claimed')
             and kind in ('send_letter', 'mark_delivered', 'refresh_offer')",
    )
    .fetch_one(&world.db)
    .await
}

/// Offers that still wait at Stripe and that no person has been told of.
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

/// What the mail server has: letters by address, each with its Message-ID.
fn letters(world: &World) -> HashMap<String, Vec<String>> {
    let mut letters: HashMap<String, Vec<String>> = HashMap::new();
    for letter in world.relay.letters() {
        letters.entry(letter.to[0].clone()).or_default().push(letter.header("Message-ID"));
    }
    letters
}

/// What was counted.
struct Tally {
    lost: Vec<String>,
    copies: usize,
    of_another_id: usize,
    marked_without: usize,
    marked_twice: usize,
    replacements_marked: usize,
    /// Letters whose offer is not marked: it ended meanwhile, or it still waits.
    ended: usize,
    not_told: usize,
    held_in_doubt: i64,
    held: i64,
    deaths: i64,
    doubts: i64,
    booked: i64,
    booked_wrongly: usize,
    /// Letters whose handing over began after the end of their offer was written down.
    too_late: i64,
    dead: i64,
    /// Letters that were withdrawn because their offer was thought to have ended: those last a month.
    thought_ended: i64,
    /// Letters and events without their content, which is kept for a year.
    erased: i64,
}

const DEATHS: &str = "select count(*) from timeline_entries where kind = 'letter.uncertain' and note like 'the process ended%'";
/// A line is dated before it waits for its offer's lock, and a handing over that had the lock first is dated later: hence the seconds.
const TOO_LATE: &str = "select count(*) from letters l where sent_at is not null and exists (
    select from timeline_entries t where t.offer_id = l.offer_id and t.recorded_at < l.sending_started_at - interval '2 seconds'
        and t.status_after in ('expired', 'replaced', 'accepted_other_offer', 'delivered', 'accepted', 'rejected', 'canceled'))";
const THOUGHT_ENDED: &str =
    "select count(*) from letters where state = 'withdrawn' and reason = 'offer_expired' and not exists (
        select from financing_offers o where o.offer_id = letters.offer_id and o.status = 'expired')";
const ERASED: &str = "select (select count(*) from letters where erased_at is not null)
                           + (select count(*) from inbox_events e
                              where not exists (select from inbox_bodies b where b.event_id = e.event_id))";
const HELD_IN_DOUBT: &str =
    "select count(*) from letters where state = 'held' and reason = 'uncertain'";

async fn tally(world: &World) -> Tally {
    let (letters, offers) = (letters(world), world.stripe.offers());
    let addresses = world.stripe.account_emails();
    let of = |offer: &Value| {
        let address = &addresses[offer["account"].as_str().unwrap()];
        letters.get(address).map(Vec::as_slice).unwrap_or_default()
    };
    let marks = |offer: &Value| world.stripe.delivered_marks(offer["id"].as_str().unwrap());
    // A replacement goes to the same account, is delivered by Stripe, and gets no letter.
    let (originals, replacements): (Vec<&Value>, Vec<&Value>) =
        offers.iter().partition(|offer| offer["replacement_for"].is_null());
    let count = |all: &[&Value], holds: &dyn Fn(&Value) -> bool| {
        all.iter().filter(|offer| holds(offer)).count()
    };
    let unmarked = |offer: &Value| !of(offer).is_empty() && marks(offer) == 0;
    let waits = |offer: &Value| offer["status"] == "undelivered";
    Tally {
        lost: undelivered(world).await,
        copies: originals.iter().map(|offer| of(offer).len().saturating_sub(1)).sum(),
        of_another_id: count(&originals, &|offer| {
            of(offer).windows(2).any(|pair| pair[0] != pair[1])
        }),
        marked_without: count(&originals, &|offer| marks(offer) > 0 && of(offer).is_empty()),
        marked_twice: count(&originals, &|offer| marks(offer) > 1),
        replacements_marked: count(&replacements, &|offer| marks(offer) > 0),
        ended: count(&originals, &|offer| unmarked(offer) && !waits(offer)),
        not_told: count(&originals, &|offer| unmarked(offer) && waits(offer)),
        held_in_doubt: one(&world.db, HELD_IN_DOUBT).await,
        held: one(&world.db, "select count(*) from letters where state in ('held', 'rejected')")
            .await,
        deaths: one(&world.db, DEATHS).await,
        doubts: one(&world.db, "select coalesce(sum(uncertain_attempts), 0)::bigint from letters")
            .await,
        booked: one(&world.db, "select count(*) from letters where state = 'sent'").await,
        booked_wrongly: booked_without_letter(world, &letters).await,
        too_late: one(&world.db, TOO_LATE).await,
        dead: one(
            &world.db,
            "select count(*) from jobs where state = 'dead' and kind <> 'mark_delivered'",
        )
        .await,
        thought_ended: one(&world.db, THOUGHT_ENDED).await,
        erased: one(&world.db, ERASED).await,
    }
}

/// What was counted, how much, and whether it may be so.
type Row = (&'static str, String, bool);

fn what_happened(world: &World, tally: &Tally) -> Vec<Row> {
    let kills =
        (world.kills.load(Ordering::SeqCst), world.kills_in_the_window.load(Ordering::SeqCst));
    let events = (world.stripe.event_count(), world.stripe.offers().len());
    let fine = |what, counted| (what, counted, true);
    vec![
        fine("replicas / kills", format!("{} / {}", world.plan.replicas, kills.0)),
        fine("kills at a point where the outcome becomes unknown", kills.1.to_string()),
        fine("events / offers at Stripe", format!("{} / {}", events.0, events.1)),
        fine(
            "letters at the mail server / recorded as sent",
            format!("{} / {}", world.relay.count(), tally.booked),
        ),
        fine("unknown outcomes: the process died", tally.deaths.to_string()),
        fine(
            "unknown outcomes: no reply from the relay",
            (tally.doubts - tally.deaths).to_string(),
        ),
        fine("messages that the relay accepted without a reply", world.relay.untold().to_string()),
        fine("letters whose offer ended before it was marked", tally.ended.to_string()),
    ]
}

fn what_must_hold(world: &World, tally: &Tally, settled: bool, calm: Duration) -> Vec<Row> {
    let restarts = world.postgres_restarts.load(Ordering::SeqCst);
    let ended = world.ended_by_themselves.lock().unwrap().len();
    // A short run may be over before the first restart.
    let is_long = world.plan.kills >= 100;
    let most_copies = if world.plan.resend { usize::try_from(tally.doubts).unwrap() } else { 0 };
    let none = |what, count: usize| (what, count.to_string(), count == 0);
    vec![
        ("restarts of Postgres", restarts.to_string(), restarts > 0 || !is_long),
        none("replicas that exited by themselves", ended),
        none("**lost**: still undelivered, and not held for an operator", tally.lost.len()),
        (
            "**duplicates** under the same Message-ID",
            tally.copies.to_string(),
            tally.copies <= most_copies,
        ),
        none("duplicates under another Message-ID", tally.of_another_id),
        none("**marked without a letter**", tally.marked_without),
        none("marked twice", tally.marked_twice),
        none("replacements marked, which Stripe delivers itself", tally.replacements_marked),
        (
            "letters sent and not marked: all held as uncertain",
            tally.not_told.to_string(),
            i64::try_from(tally.not_told).unwrap() <= tally.held_in_doubt,
        ),
        (
            "held letters: all of them uncertain",
            tally.held.to_string(),
            tally.held == tally.held_in_doubt,
        ),
        none(
            "sent after the end of their offer was recorded",
            usize::try_from(tally.too_late).unwrap(),
        ),
        none("recorded as sent, and never at the mail server", tally.booked_wrongly),
        none("dead jobs, except marks of offers that ended", usize::try_from(tally.dead).unwrap()),
        none("withdrawn as expired before the end", usize::try_from(tally.thought_ended).unwrap()),
        none("erased too early", usize::try_from(tally.erased).unwrap()),
        ("seconds from the last fault to nothing left to do", calm.as_secs().to_string(), settled),
    ]
}

/// Counts, prints, and says whether all is as it must be.
pub async fn table(world: &World, settled: bool, troubled: Duration, calm: Duration) -> bool {
    let tally = tally(world).await;
    let policy = if world.plan.resend { "resend" } else { "hold" };
    println!(
        "seed {}, `when_uncertain = {policy}`, {} s of faults\n",
        world.plan.seed,
        troubled.as_secs()
    );
    println!("| counted | | |\n|---|---:|---|");
    let mut all_fine = true;
    for (what, counted, is_fine) in
        what_happened(world, &tally).into_iter().chain(what_must_hold(world, &tally, settled, calm))
    {
        println!("| {what} | {counted} | {} |", if is_fine { "" } else { "WRONG" });
        all_fine &= is_fine;
    }
    for said in world.ended_by_themselves.lock().unwrap().iter().take(3) {
        eprintln!("{said}");
    }
    for offer in tally.lost.iter().take(5) {
        explain(world, offer).await;
    }
    all_fine
}

async fn booked_without_letter(world: &World, letters: &HashMap<String, Vec<String>>) -> usize {
    let had: std::collections::HashSet<&String> = letters.values().flatten().collect();
    let booked: Vec<String> =
        sqlx::query_scalar("select '<' || message_id || '>' from letters where state = 'sent'")
            .fetch_all(&world.db)
            .await
            .unwrap();
    booked.iter().filter(|id| !had.contains(id)).count()
}

/// What the database knows of an offer that was lost.
async fn explain(world: &World, offer: &str) {
    let lines: Vec<(String, Option<String>)> = sqlx::query_as(
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
    eprintln!("{offer}: {lines:?} {jobs:?}");
}
