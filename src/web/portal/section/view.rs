//! What is shown, written as the reader writes amounts and days. The words between them are the templates' own.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::phase::{Card, Figures, Phase, Turn};
use super::progress::{FiguresFrom, Progress};
use crate::financing::AccountLocale;
use crate::financing::ledger::Movement;
use crate::format::locale::Formats;
use crate::format::money::Money;
use crate::offers::store::OfAccount;
use crate::stripe::{Contract, refill_way};

/// Writes for one reader.
pub(in crate::web::portal) struct Writer<'a> {
    pub(in crate::web::portal) formats: &'a Formats,
    pub(in crate::web::portal) zone: Tz,
}

/// An offer or a financing.
#[derive(Serialize)]
pub(super) struct Shown {
    phase: &'static str,
    /// `loan`, `cash_advance` or `unspecified`: which words are right for the contract.
    contract: &'static str,
    is_refill: bool,
    /// What a refill does to the financing that runs: `settles`, `stacks`, or nothing known.
    refill_way: &'static str,
    is_replacement: bool,
    terms: Option<ShownTerms>,
    expires_on: Option<String>,
    progress: Option<ShownProgress>,
    /// What happens next: `share`, a share of sales goes to it; `waits`, an older financing comes first; `closed`, Stripe wrote it off,
    /// and the rest is between it and the merchant.
    next: &'static str,
    /// The share of sales, where it is known.
    next_rate: Option<String>,
}

#[derive(Serialize)]
struct ShownTerms {
    advance: String,
    fee: String,
    total: Option<String>,
    rate: String,
}

#[derive(Serialize)]
struct ShownProgress {
    total: String,
    paid: String,
    remaining: String,
    percent: String,
    per_mille: i64,
    paid_out_on: Option<String>,
    begins_on: Option<String>,
    period: Option<ShownPeriod>,
    /// Our transactions do not add up to Stripe's figures.
    differs: bool,
    /// What was paid by them, where that is another sum.
    paid_by_ours: Option<String>,
    /// Stripe's figures are not there, so these are ours.
    is_ours: bool,
    /// Transactions that ours leave out.
    unclear: i64,
}

#[derive(Serialize)]
struct ShownPeriod {
    minimum: Option<String>,
    paid: Option<String>,
    remaining: Option<String>,
    due_on: Option<String>,
    is_met: bool,
}

/// A movement.
#[derive(Serialize)]
pub(super) struct Row {
    on: String,
    /// Which of the templates' words names it.
    what: &'static str,
    /// With a sign: what the merchant got, or gave.
    amount: String,
    is_in: bool,
}

impl Writer<'_> {
    pub(super) fn card(&self, card: &Card, home: &AccountLocale, now: DateTime<Utc>) -> Shown {
        let contract = card.offer.contract();
        let terms = card.terms.as_ref().map(|terms| ShownTerms {
            advance: self.money(&terms.advance),
            fee: self.money(&terms.fee),
            total: terms.advance.plus(&terms.fee).map(|total| self.money(&total)),
            rate: self.formats.percent(terms.withhold_rate),
        });
        // Stripe can end an offer before its time: then that time says nothing.
        let end = card.offer.expires_at.filter(|end| card.phase != Phase::Expired || *end <= now);
        // The last moment at which it is open.
        let expires_on = end.map(|end| self.day(end - TimeDelta::seconds(1)));
        let rate = match card.turn {
            Turn::Alone => card.terms.as_ref().map(|terms| terms.withhold_rate),
            Turn::First(rate) => rate,
            Turn::Waits => None,
        };
        Shown {
            phase: card.phase.into(),
            contract: contract.as_str(),
            next: match card.turn {
                _ if card.offer.charged_off_at.is_some() => "closed",
                Turn::Waits => "waits",
                Turn::Alone | Turn::First(_) => "share",
            },
            next_rate: rate.map(|rate| self.formats.percent(rate)),
            is_refill: card.offer.product_type.as_deref() == Some("refill"),
            refill_way: refill_way(home.country.as_deref()),
            is_replacement: card.is_replacement,
            terms,
            expires_on,
            progress: card.progress.as_ref().map(|progress| self.progress(progress, contract, now)),
        }
    }

    fn progress(
        &self,
        progress: &Progress,
        contract: Contract,
        now: DateTime<Utc>,
    ) -> ShownProgress {
        let per_mille = progress.per_mille();
        #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
        let percent = self.formats.percent((per_mille / 10) as f64 / 100.0);
        // An advance on receivables has no minimum and no date; nor may one be spoken of where nobody knows what it is.
        let period = progress.period.as_ref().filter(|_| contract == Contract::Loan);
        let currency = &progress.total.currency;
        let amount = |minor: i64| self.money(&Money { minor, currency: currency.clone() });
        ShownProgress {
            total: self.money(&progress.total),
            paid: self.money(&progress.paid),
            remaining: self.money(&progress.remaining),
            percent,
            per_mille,
            paid_out_on: progress.paid_out_at.map(|at| self.day(at)),
            begins_on: progress.begins_at.filter(|at| *at > now).map(|at| self.day(at)),
            period: period.map(|period| ShownPeriod {
                minimum: period
                    .paid_amount
                    .zip(period.remaining_amount)
                    .and_then(|(paid, remaining)| paid.checked_add(remaining))
                    .map(amount),
                paid: period.paid_amount.map(amount),
                remaining: period.remaining_amount.map(amount),
                due_on: period.due_at.map(|at| self.day(at)),
                is_met: period.remaining_amount.is_some_and(|remaining| remaining <= 0),
            }),
            differs: matches!(progress.by, FiguresFrom::StripeDiffers(_)),
            paid_by_ours: match &progress.by {
                FiguresFrom::StripeDiffers(sum) => sum.as_ref().map(|sum| self.money(sum)),
                FiguresFrom::Stripe | FiguresFrom::Ledger(_) => None,
            },
            is_ours: matches!(progress.by, FiguresFrom::Ledger(_)),
            unclear: match progress.by {
                FiguresFrom::Ledger(unclear) => unclear,
                FiguresFrom::Stripe | FiguresFrom::StripeDiffers(_) => 0,
            },
        }
    }

    pub(super) fn row(&self, movement: &Movement, contract: Contract) -> Row {
        let what = what(movement, contract);
        // Of what was paid out the fee never reached the merchant.
        let minor = match movement.effect.as_str() {
            "advanced" => movement.advance_minor.unwrap_or(movement.total_minor),
            "paid" => -movement.total_minor,
            _ => movement.total_minor,
        };
        let size = self.money(&Money {
            minor: i64::try_from(minor.unsigned_abs()).unwrap_or(i64::MAX),
            currency: movement.currency.clone(),
        });
        let sign = if minor < 0 { "\u{2212}" } else { "+" };
        let amount = if movement.effect == "unclear" { size } else { format!("{sign}{size}") };
        let on =
            self.formats.short_date(movement.created_at.with_timezone(&self.zone).date_naive());
        Row { on, what, amount, is_in: minor >= 0 }
    }

    pub(in crate::web::portal) fn money(&self, money: &Money) -> String {
        self.formats.money(money)
    }

    pub(in crate::web::portal) fn day(&self, at: DateTime<Utc>) -> String {
        self.formats.day(at, self.zone)
    }

    /// A day and the time of it.
    pub(in crate::web::portal) fn moment(&self, at: DateTime<Utc>) -> String {
        format!("{}, {}", self.day(at), at.with_timezone(&self.zone).format("%H:%M\u{a0}%Z"))
    }
}

impl Figures<'_> {
    /// The contract that a movement belongs to.
    pub(super) fn contract_of(&self, movement: &Movement) -> Contract {
        let offer =
            self.offers.iter().find(|offer| movement.offer_id.as_deref() == Some(&offer.offer_id));
        offer.map_or(Contract::Unspecified, OfAccount::contract)
    }
}

/// Stripe's own descriptions have words that the rules for copy forbid, so each kind of movement has words of ours.
fn what(movement: &Movement, contract: Contract) -> &'static str {
    let is_back = movement.r#type == "reversal";
    match (movement.effect.as_str(), movement.reason.as_deref()) {
        ("advanced", _) if is_back => "taken_back",
        ("advanced", _) => "paid_out",
        ("paid", _) if movement.is_withholding && is_back => "share_returned",
        ("paid", _) if movement.is_withholding => "share",
        ("paid", Some("collection_failure")) => "payment_failed",
        ("paid", _) if is_back => "payment_returned",
        ("paid", Some("collection")) if contract == Contract::Loan => "minimum",
        ("paid", Some("refill")) => "refill",
        ("paid", _) => "payment",
        _ => "other",
    }
}
