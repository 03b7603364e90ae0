//! Is anything wrong, how much goes on, and how the outside is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::Serialize;
use tokio::sync::Mutex;

use super::ConsolePage;
use crate::database::with_timeout;
use crate::flow::email::SendLetter;
use crate::flow::inbox;
use crate::letters::pauses::{self, MarketError, Pause, Paused, Scope};
use crate::letters::{self, Kind, deliveries};
use crate::maintenance::reconcile;
use crate::offers;
use crate::operators::{self, attention};
use crate::queue::Work;
use crate::queue::browse::{self, JobCount, MAX_COUNT};
use crate::web::console::ConsoleState;
use crate::web::console::access::{Act, FormFields, Visitor};
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template, done};

pub(super) const PAGE: ConsolePage = ConsolePage {
    path: "/console/overview",
    label: Some("Overview"),
    templates: &[console_template!("overview.html")],
};

/// Hours in the picture.
const HOURS: i64 = 24;
/// The height of the picture's highest bar, in its own units.
const HEIGHT: i64 = 100;
/// The funnel shows the offers of this time.
const FUNNEL: TimeDelta = TimeDelta::days(30);
/// Counting a million offers takes a noticeable time, so the counts are shared.
const COUNTED_FOR: Duration = Duration::from_mins(1);

/// The statuses of an offer's life, in order.
const STATUSES: [&str; 5] = ["undelivered", "delivered", "accepted", "paid_out", "fully_repaid"];

/// Offers by status, shared by all visitors; none until the first visit.
#[derive(Clone, Debug, Default)]
pub(in crate::web::console) struct FunnelCounts(Arc<Mutex<Option<CountedOffers>>>);

#[derive(Debug)]
struct CountedOffers {
    counted_at: Instant,
    by_status: Vec<(String, i64)>,
}

#[derive(Serialize)]
struct OverviewView {
    /// What waits for a person, in total.
    waiting_for_you: i64,
    emails: Option<JobCount>,
    max_count: i64,
    sent: i64,
    delivered: i64,
    hours: Vec<HourBar>,
    funnel: Vec<FunnelStep>,
    pauses: Vec<Pause>,
    markets: Vec<&'static str>,
    kinds: Vec<&'static str>,
    last_event: Option<DateTime<Utc>>,
    last_reconciliation: Option<DateTime<Utc>>,
    circuits: Vec<(&'static str, bool)>,
    /// Seconds that the database's clock is ahead of Stripe's; None before Stripe answered.
    clock_skew: Option<i64>,
}

#[derive(Serialize)]
struct HourBar {
    hour: String,
    sent: i64,
    delivered: i64,
    /// Of [`HEIGHT`].
    sent_height: i64,
    delivered_height: i64,
}

#[derive(Serialize)]
struct FunnelStep {
    status: String,
    offers: i64,
    /// Of all offers.
    percent: i64,
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route(PAGE.path, get(show))
        .route("/console/overview/pause", post(pause))
        .route("/console/overview/resume", post(resume))
}

/// The scope that a form names; an empty field means all.
async fn scope(state: &ConsoleState, fields: &FormFields) -> Result<Scope, Problem> {
    let market = match fields.text("market") {
        "" => None,
        given => match pauses::check_market(&state.console.db, given).await {
            Ok(market) => Some(market),
            Err(MarketError::Database(error)) => return Err(error.into()),
            Err(error) => return Err(Problem::Invalid(format!("{error}."))),
        },
    };
    let kind = match fields.text("kind") {
        "" => None,
        kind => {
            let unknown = || Problem::Invalid(format!("{kind:?} is no kind of email."));
            Some(kind.parse::<Kind>().map_err(|_| unknown())?)
        }
    };
    Ok(Scope { market, kind })
}

async fn pause(State(state): State<ConsoleState>, act: Act) -> Result<Response, Problem> {
    let scope = scope(&state, &act.fields).await?;
    let (paused, unsent) =
        operators::pause::pause(&state.console.db, &act.instruction(), &scope).await?;
    let said = match paused {
        Paused::Begun(pause) => {
            format!("Paused {pause}. {} are being handed over and will finish", unsent.sending)
        }
        Paused::Already(pause) => format!("{pause} were paused before, by {}", pause.paused_by),
    };
    Ok(done(&act.visitor, PAGE.path, &said))
}

async fn resume(State(state): State<ConsoleState>, act: Act) -> Result<Response, Problem> {
    let scope = scope(&state, &act.fields).await?;
    let resumed = operators::pause::resume(&state.console.db, &act.instruction(), &scope).await?;
    let said = match resumed.ended {
        Some(pause) => format!("Resumed {pause}"),
        None => format!("{scope} were not paused"),
    };
    Ok(done(&act.visitor, PAGE.path, &said))
}

async fn show(State(state): State<ConsoleState>, visitor: Visitor) -> Result<Response, Problem> {
    let console = &state.console;
    let now = console.clock.now();
    let groups = with_timeout(attention::read(&console.db, now, 1)).await?;
    let jobs = with_timeout(browse::counts(&console.db)).await?;
    let is_email = |job: &JobCount| job.kind == SendLetter::KIND && job.state == "queued";
    let hours = with_timeout(state.hours(now)).await?;
    let view = OverviewView {
        waiting_for_you: groups.iter().map(|group| group.count).sum(),
        emails: jobs.into_iter().find(is_email),
        max_count: MAX_COUNT,
        sent: hours.iter().map(|hour| hour.sent).sum(),
        delivered: hours.iter().map(|hour| hour.delivered).sum(),
        hours,
        funnel: with_timeout(state.funnel(now)).await?,
        pauses: with_timeout(pauses::in_force(&console.db)).await?,
        markets: pauses::known_markets(),
        kinds: Kind::ALL.iter().map(|kind| kind.as_str()).collect(),
        last_event: with_timeout(inbox::store::last_received(&console.db)).await?,
        last_reconciliation: with_timeout(reconcile::store::last_complete(&console.db, now))
            .await?,
        circuits: console.circuits.iter().map(|of| (of.name(), of.is_open())).collect(),
        clock_skew: console.clock.skew().map(|skew| skew.num_seconds()),
    };
    let head = PageHead {
        template: "overview.html",
        title: "Overview",
        command: "capital-courier doctor",
    };
    state.page(&visitor, &head, view)
}

impl ConsoleState {
    /// What was sent and marked in each of the last hours, the oldest first.
    async fn hours(&self, now: DateTime<Utc>) -> sqlx::Result<Vec<HourBar>> {
        let hour = TimeDelta::hours(1);
        let this_hour = now.duration_trunc(hour).unwrap_or(now);
        let first = this_hour - hour * i32::try_from(HOURS - 1).unwrap_or_default();
        let db = &self.console.db;
        let sent: HashMap<_, _> =
            letters::store::sent_per_hour(db, first).await?.into_iter().collect();
        let delivered: HashMap<_, _> =
            deliveries::delivered_per_hour(db, first).await?.into_iter().collect();
        let highest = sent.values().chain(delivered.values()).copied().max().unwrap_or(0).max(1);
        let height = |count: i64| if count == 0 { 0 } else { (count * HEIGHT / highest).max(2) };
        let starts = std::iter::successors(Some(first), |start| Some(*start + hour));
        let bars = starts.take_while(|start| *start <= this_hour).map(|start| {
            let count = |counts: &HashMap<DateTime<Utc>, i64>| {
                counts.get(&start).copied().unwrap_or_default()
            };
            let (sent, delivered) = (count(&sent), count(&delivered));
            HourBar {
                hour: start.format("%H:%M").to_string(),
                sent,
                delivered,
                sent_height: height(sent),
                delivered_height: height(delivered),
            }
        });
        Ok(bars.collect())
    }

    async fn funnel(&self, now: DateTime<Utc>) -> sqlx::Result<Vec<FunnelStep>> {
        // Concurrent visitors wait for the lock and share one count.
        let mut last = self.funnel.0.lock().await;
        if last.as_ref().is_none_or(|of| of.counted_at.elapsed() >= COUNTED_FOR) {
            let by_status =
                offers::store::count_created_since(&self.console.db, now - FUNNEL).await?;
            *last = Some(CountedOffers { counted_at: Instant::now(), by_status });
        }
        let mut counts = last.as_ref().map(|of| of.by_status.clone()).unwrap_or_default();
        drop(last);
        let total: i64 = counts.iter().map(|(_, offers)| offers).sum();
        let place = |status: &str| STATUSES.iter().position(|known| *known == status);
        counts.sort_by_key(|(status, offers)| (place(status).unwrap_or(STATUSES.len()), -offers));
        let step = |(status, offers): (String, i64)| FunnelStep {
            status,
            offers,
            percent: if total == 0 { 0 } else { offers * 100 / total },
        };
        Ok(counts.into_iter().map(step).collect())
    }
}
