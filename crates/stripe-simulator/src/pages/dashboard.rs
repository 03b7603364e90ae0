//! The simulated Stripe Dashboard: the merchants, the story of one of them, what can happen to it
//! now, and the feed. A form is a POST that leads back to the page, which then shows what it did.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use minijinja::context;
use serde_json::{Value, json};

use super::situation::Situation;
use super::time_lapse::{self, Span};
use super::{DASHBOARD, Pages, buttons, render, story};
use crate::engine::Engine;
use crate::feed::NumberedEntry;
use crate::http::request::{ApiRequest, Parameters};
use crate::http::response::ApiResponse;
use crate::money::format_amount;
use crate::state::State;
use crate::state::offer::text;

/// What the page shows of the feed.
const FEED_LENGTH: usize = 60;
/// What the page says about the last press of a button.
const MAX_SAID: usize = 4;

/// `notice` says why the last action did nothing, and `after` is the number of the newest entry of
/// the feed before it.
pub(super) fn show(engine: &Engine, pages: &Pages, query: &Parameters) -> ApiResponse {
    let now = engine.time.now();
    let host = pages.host();
    let feed = engine.feed.numbered();
    let state = engine.state();
    let ids = account_ids(&state);
    let chosen = query.get("account").filter(|id| state.accounts.contains(id));
    let chosen = chosen.or_else(|| ids.first().map(|id| id.as_str())).map(str::to_owned);
    let shows_all = query.get("feed") == Some("all");
    let shown = FeedView {
        after: query.get("after").and_then(|after| after.parse().ok()).unwrap_or(u64::MAX),
        account: chosen.as_deref(),
        shows_all,
        now,
    };
    let lapse = pages.lapse_progress();
    let page = context! {
        date => now.format("%A, %-d %B %Y, %H:%M UTC").to_string(),
        notice => query.get("notice").unwrap_or_default(),
        lapse => lapse.map(|progress| context! { day => progress.day, of => progress.of }),
        version => version(engine, pages),
        merchants => ids.iter().map(|id| merchant_row(&state, id)).collect::<Vec<_>>(),
        chosen => chosen.as_ref().map(|id| merchant(&state, id, &feed, now)),
        groups => chosen.as_ref().map(|id| {
            buttons::groups(&Situation::of(&state, id, now), &host)
        }),
        has_platform_dashboard => host.platform.is_some(),
        api_is_down => engine.api_is_down(),
        troubles => buttons::troubles(&host),
        said => shown.said(&feed), feed => shown.entries(&state, &feed),
        shows_all,
    };
    drop(state);
    render(DASHBOARD, page)
}

/// What the script asks for: the page is another if this is.
pub(super) fn pulse(engine: &Engine, pages: &Pages) -> ApiResponse {
    ApiResponse::ok(json!({"version": version(engine, pages)}))
        .with_header("Cache-Control", "no-store")
}

fn version(engine: &Engine, pages: &Pages) -> String {
    let changes = *engine.changes().borrow();
    let day = pages.lapse_progress().map(|progress| progress.day);
    let down = u8::from(engine.api_is_down());
    let troubles = pages.host().troubles;
    let on: String =
        troubles.iter().map(|trouble| if (trouble.is_on)() { '1' } else { '0' }).collect();
    format!("{}.{changes}.{day:?}.{down}{on}", engine.feed.last_number())
}

/// Oldest first, as ids grow.
pub(super) fn account_ids(state: &State) -> Vec<&String> {
    let mut ids: Vec<&String> = state.accounts.objects.keys().collect();
    ids.sort_unstable();
    ids
}

pub(super) fn name(state: &State, id: &str) -> String {
    let name = state.accounts.get(id).map(|account| text(&account["business_profile"]["name"]));
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "A merchant without a name".to_owned())
}

fn merchant_row(state: &State, id: &str) -> minijinja::Value {
    let newest = story::told(state, id).last().map(|offer| story::phase(state, offer));
    let (phase, tone) = newest.unwrap_or_else(|| ("No offer".to_owned(), "quiet"));
    context! { id, name => name(state, id), country => state.accounts.country(id), phase, tone }
}

fn merchant(
    state: &State,
    id: &str,
    feed: &[NumberedEntry],
    now: DateTime<Utc>,
) -> minijinja::Value {
    let told = story::told(state, id);
    let is_told = |offer: &Value| told.iter().any(|one| one["id"] == offer["id"]);
    let earlier = state.offers.of_account(id).filter(|offer| !is_told(offer)).map(|offer| {
        let terms = &offer["offered_terms"];
        let (phase, tone) = story::phase(state, offer);
        let at = DateTime::from_timestamp(offer["created"].as_i64().unwrap_or_default(), 0);
        let minor = terms["advance_amount"].as_i64().unwrap_or_default();
        context! {
            phase, tone, title => story::title(offer), id => offer["id"].as_str(),
            date => at.map(|at| story::short_date(at, now)),
            advance => format_amount(minor, terms["currency"].as_str().unwrap_or_default()),
        }
    });
    let has_left = !state.accounts.is_connected(id);
    context! {
        id, name => name(state, id), country => state.accounts.country(id), has_left,
        currency => state.accounts.currency(id).to_uppercase(),
        stories => told.iter().map(|offer| story::tell(state, offer, feed, now))
            .collect::<Vec<_>>(),
        earlier => earlier.collect::<Vec<_>>(),
    }
}

/// Which part of the feed is shown, and what of it is new.
struct FeedView<'a> {
    /// Entries with a greater number are new.
    after: u64,
    account: Option<&'a str>,
    shows_all: bool,
    now: DateTime<Utc>,
}

impl FeedView<'_> {
    /// Of the account, or of none.
    fn is_about_it(&self, one: &NumberedEntry) -> bool {
        one.entry.account.is_none() || one.entry.account.as_deref() == self.account
    }

    /// Newest first.
    fn entries(&self, state: &State, feed: &[NumberedEntry]) -> Vec<minijinja::Value> {
        let shown = feed
            .iter()
            .rev()
            .filter(|one| self.shows_all || self.is_about_it(one))
            .take(FEED_LENGTH);
        let entry = |one: &NumberedEntry| {
            let NumberedEntry { number, entry, count, .. } = one;
            let is_today = entry.at.date_naive() == self.now.date_naive();
            let form = if is_today { "%H:%M:%S" } else { "%-d %b" };
            context! {
                at => entry.at.format(form).to_string(), text => in_short(&entry.text), link => entry.link.clone(),
                at_full => entry.at.to_rfc3339(), count, tone => entry.tone.as_str(),
                is_new => *number > self.after,
                who => entry.account.as_ref().filter(|_| self.shows_all)
                    .map(|id| context! { id, name => name(state, id) }),
            }
        };
        shown.map(entry).collect()
    }

    /// The texts of the newest entries that came of the last press, oldest first.
    fn said(&self, feed: &[NumberedEntry]) -> Vec<String> {
        let is_new = |one: &&NumberedEntry| {
            one.number > self.after && self.is_about_it(one) && !one.is_routine()
        };
        let new = feed.iter().rev().filter(is_new).take(MAX_SAID);
        let mut texts: Vec<String> = new.map(|one| in_short(&one.entry.text)).collect();
        texts.reverse();
        texts
    }
}

/// Without what the names of all of Capital's events begin with.
fn in_short(text: &str) -> String {
    text.replace("capital.financing_", "financing_")
}

/// What a form asks for: `subject/id/action` of its URL.
#[derive(Clone, Copy)]
pub(super) struct Pressed<'a> {
    pub(super) subject: &'a str,
    pub(super) id: &'a str,
    pub(super) action: &'a str,
}

pub(super) fn submit(
    engine: &Arc<Engine>,
    pages: &Arc<Pages>,
    pressed: Pressed<'_>,
    request: &ApiRequest,
) -> ApiResponse {
    let fields = request.form();
    let before = engine.feed.last_number();
    let outcome = super::press::press(engine, pages, pressed, &fields);
    let account = match pressed.subject {
        "accounts" => Some(pressed.id),
        _ => fields.get("account"),
    };
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(account) = account {
        query.append_pair("account", account);
    }
    if fields.get("feed") == Some("all") {
        query.append_pair("feed", "all");
    }
    match outcome {
        Ok(()) => query.append_pair("after", &before.to_string()),
        Err(why) => query.append_pair("notice", &why),
    };
    ApiResponse::see_other(&format!("/_simulator/?{}", query.finish()))
}

/// Starts a time lapse about an account.
pub(super) fn pass_time(
    engine: &Arc<Engine>,
    pages: &Arc<Pages>,
    account: &str,
    span: Span,
) -> Result<(), String> {
    if span == Span::UntilPaid {
        Situation::of(&engine.state(), account, engine.time.now()).until_paid()?;
    }
    time_lapse::start(engine, pages, account, span).map_err(|error| error.to_string())
}
