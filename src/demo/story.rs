//! The merchants of the demo, and what happened before it was opened.
//!
//! | merchant | country | shows |
//! |---|---|---|
//! | Jenny's Bakery | US | a financing in progress, and a refill offer |
//! | Kite & Co | US | a financing paid in full, and a repeat offer |
//! | Rocket Rides | GB | a first offer |
//! | Bäckerei Sonnenschein | DE | reminders |
//! | Atelier Lumière | FR | an application under review |
//! | Wattle & Wave | AU | an opt-out |
//! | Old Mill Café | US | a bounce |
//! | Corner Books | US | a held letter: no address |
//!
//! The past is played in three parts. Before the service knows the program, only the simulator's
//! time passes. Then the service adopts the program, as it does where a program is older than
//! it, and the last days pass through webhooks. The offers of today are made after the start.

use std::sync::Arc;

use anyhow::Context;
use axum::body::Body;
use axum::http::{Method, Request, header};
use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use stripe_simulator::{Action, ChargeKind, NewAccount, NewCharge, NewOffer, Simulator};

use super::courier::Service;
use super::mail::Sink;
use super::shell::forward;
use crate::app::App;
use crate::clock::Clock;
use crate::stripe::AccountId;

/// How long the oldest financing has been known when the demo is opened.
const DAYS: i64 = 300;
/// The days that the service has seen.
const WATCHED_DAYS: i64 = 16;
/// Sales as parts of their mean in per cent, day by day.
const SALES: [i64; 11] = [85, 64, 102, 118, 131, 146, 40, 92, 77, 109, 136];

struct Merchant {
    name: &'static str,
    /// First and last name.
    owner: Option<(&'static str, &'static str)>,
    email: Option<&'static str>,
    country: &'static str,
}

const JENNY: Merchant =
    merchant("Jenny's Bakery", ("Jenny", "Rosen"), "jenny@bakery.example", "US");
const KITE: Merchant = merchant("Kite & Co", ("Amelia", "Park"), "hello@kite.example", "US");
const ROCKET: Merchant =
    merchant("Rocket Rides", ("Oliver", "Hughes"), "owner@rocket.example", "GB");
const BAKERY: Merchant =
    merchant("Bäckerei Sonnenschein", ("Lena", "Vogel"), "lena@sonnenschein.example", "DE");
const ATELIER: Merchant =
    merchant("Atelier Lumière", ("Camille", "Laurent"), "camille@lumiere.example", "FR");
const WATTLE: Merchant =
    merchant("Wattle & Wave", ("Matilda", "Byrne"), "matilda@wattle.example", "AU");
const CAFE: Merchant = merchant("Old Mill Café", ("Sam", "Ortiz"), "sam@oldmill.example", "US");
const BOOKS: Merchant = Merchant { name: "Corner Books", owner: None, email: None, country: "US" };

const fn merchant(
    name: &'static str,
    owner: (&'static str, &'static str),
    email: &'static str,
    country: &'static str,
) -> Merchant {
    Merchant { name, owner: Some(owner), email: Some(email), country }
}

/// The merchants whose offers are made after the start.
pub(super) struct Today {
    jenny: String,
    kite: String,
    rocket: String,
}

/// An offer of today.
pub(super) struct NewLetter {
    pub(super) merchant: &'static str,
    pub(super) amount: &'static str,
    pub(super) email: &'static str,
    pub(super) offer: String,
}

/// Sets the clock to where the story begins. Call it before anything reads the time.
pub(super) fn rewind(clock: &Clock) {
    clock.advance(TimeDelta::days(-DAYS));
}

/// Plays the financings that are older than the service.
pub(super) async fn play_the_past(simulator: &Simulator, clock: &Clock) -> anyhow::Result<Today> {
    let [jenny, kite] = [&JENNY, &KITE].map(|one| add(simulator, one));
    let old = take(simulator, clock, &kite, &loan(300_000))?;
    let mut day = 0;
    let mut pass = async |until: i64, accounts: &[(&str, i64)]| {
        while day < until {
            day += 1;
            clock.advance(TimeDelta::days(1));
            // Nothing else here waits, so without it Ctrl-C would be noticed at the end.
            tokio::task::yield_now().await;
            for (account, mean) in accounts {
                sell(simulator, account, *mean, day);
            }
        }
    };
    pass(120, &[(&kite, 9_200)]).await;
    take(simulator, clock, &jenny, &loan(1_250_000))?;
    // The acceptance of each took a day.
    pass(DAYS - WATCHED_DAYS - 2, &[(&kite, 9_200), (&jenny, 39_000)]).await;
    let status = simulator.offer(&old).unwrap_or_default()["status"].clone();
    anyhow::ensure!(status == "fully_repaid", "the first financing should be paid: {status}");
    simulator.clear_events();
    let rocket = add(simulator, &ROCKET);
    Ok(Today { jenny, kite, rocket })
}

fn loan(advance_amount: i64) -> NewOffer {
    NewOffer { advance_amount, fee_amount: advance_amount / 10, ..NewOffer::default() }
}

fn add(simulator: &Simulator, merchant: &Merchant) -> String {
    let account = simulator.add_account(&NewAccount {
        name: Some(merchant.name.to_owned()),
        email: merchant.email.map(str::to_owned),
        country: Some(merchant.country.to_owned()),
    });
    if let Some((first, last)) = merchant.owner {
        simulator.set_owner(&account, first, last);
    }
    account
}

/// The merchant takes an offer that Stripe told it of itself. Returns the offer's id.
fn take(
    simulator: &Simulator,
    clock: &Clock,
    account: &str,
    new: &NewOffer,
) -> anyhow::Result<String> {
    let offer = simulator.create_offer(account, new);
    simulator.deliver(&offer);
    for action in [Action::Apply, Action::Approve] {
        simulator.perform(action, &offer)?;
    }
    clock.advance(TimeDelta::days(1));
    Ok(offer)
}

fn sell(simulator: &Simulator, account: &str, mean: i64, day: i64) {
    let part = SALES[usize::try_from(day).unwrap_or(0) % SALES.len()];
    let amount = mean * part / 100;
    let kind = ChargeKind::Direct { application_fee: amount / 50 };
    // A financing that is paid takes nothing more.
    let _ = simulator.charge(account, &NewCharge { amount, kind });
    if day % 7 == 0 {
        simulator.pay_out(account);
    }
}

/// What the service sees of the past.
pub(super) struct Watched<'a> {
    pub(super) app: &'a Arc<App>,
    pub(super) simulator: &'a Simulator,
    pub(super) clock: &'a Clock,
    pub(super) service: &'a Service,
    /// For the webhook of the relay's reports.
    pub(super) api_key: &'a SecretString,
}

impl Watched<'_> {
    /// The service adopts the program.
    pub(super) async fn adopt(&self) -> anyhow::Result<()> {
        self.app.request_listing().await?;
        self.app.reconcile_now().await?;
        self.settle().await
    }

    /// Plays the last days.
    pub(super) async fn play(
        &self,
        today: &Today,
        progress: impl Fn(i64, i64),
        sink: &Sink,
    ) -> anyhow::Result<()> {
        let (simulator, mut bounces) = (self.simulator, sink.bounces());
        sink.bounce_later(CAFE.email.unwrap_or_default());
        let [bakery, wattle, cafe] = [&BAKERY, &WATTLE, &CAFE].map(|one| add(simulator, one));
        for (account, advance) in [(&bakery, 820_000), (&wattle, 2_400_000), (&cafe, 640_000)] {
            simulator.create_offer(account, &loan(advance));
        }
        self.settle().await?;
        self.unsubscribe(&wattle).await?;
        // With a relay of the user's, nothing comes back.
        if let Ok(report) = bounces.try_recv() {
            self.post("/inbound/bounces", "message/rfc822", report.into()).await?;
        }
        let mut atelier = None;
        for day in 1..=WATCHED_DAYS {
            progress(day, WATCHED_DAYS);
            self.clock.advance(TimeDelta::days(1));
            sell(simulator, &today.jenny, 39_000, DAYS + day);
            match day {
                7 | 14 => drop(self.app.remind_now().await?),
                12 => {
                    let account = add(simulator, &ATELIER);
                    atelier = Some(simulator.create_offer(&account, &loan(1_560_000)));
                }
                15 => {
                    if let Some(offer) = &atelier {
                        simulator.perform(Action::Apply, offer)?;
                    }
                    let books = add(simulator, &BOOKS);
                    simulator.create_offer(&books, &loan(450_000));
                }
                _ => {}
            }
            self.settle().await?;
        }
        Ok(())
    }

    /// Waits until every event has arrived, and does what follows from it.
    async fn settle(&self) -> anyhow::Result<()> {
        self.simulator.deliveries_finished().await;
        loop {
            self.app.run_due_work().await?;
            if self.app.read_transactions().await? == 0 {
                return Ok(());
            }
        }
    }

    /// One click on the link in a letter (RFC 8058).
    async fn unsubscribe(&self, account: &str) -> anyhow::Result<()> {
        let links = self.service.settings.email.links.as_ref().context("no links")?;
        let link = links.link(&account.parse::<AccountId>()?);
        let body = "List-Unsubscribe=One-Click";
        let form = "application/x-www-form-urlencoded";
        self.post(link.path(), form, body.into()).await
    }

    async fn post(&self, path: &str, media_type: &str, body: Body) -> anyhow::Result<()> {
        let bearer = format!("Bearer {}", self.api_key.expose_secret());
        let to = self.service.settings.http.listen;
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, to.to_string())
            .header(header::AUTHORIZATION, bearer)
            .header(header::CONTENT_TYPE, media_type)
            .body(body)?;
        let response = forward(to, request).await.ok().context("the service does not answer")?;
        anyhow::ensure!(response.status().is_success(), "{path}: {}", response.status());
        Ok(())
    }
}

/// Makes the offers of today, and their events.
pub(super) fn make_offers(simulator: &Simulator, today: &Today) -> Vec<NewLetter> {
    let refill = NewOffer { product_type: "refill".to_owned(), ..loan(1_800_000) };
    let repeat = NewOffer { campaign_type: "repeat_user".to_owned(), ..loan(450_000) };
    let first = NewOffer { financing_type: "cash_advance".to_owned(), ..loan(4_800_000) };
    [
        (&JENNY, &today.jenny, "$18,000", refill),
        (&ROCKET, &today.rocket, "£48,000", first),
        (&KITE, &today.kite, "$4,500", repeat),
    ]
    .map(|(merchant, account, amount, new)| NewLetter {
        merchant: merchant.name,
        amount,
        email: merchant.email.unwrap_or_default(),
        offer: simulator.create_offer(account, &new),
    })
    .into()
}
