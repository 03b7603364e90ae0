//! The template's view of cards and transactions: amounts and dates formatted for the reader. The
//! text around them is in the templates.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::phase::{Card, PaydownOrder, Phase};
use super::progress::{Figures, FiguresFrom, Progress};
use crate::financing::AccountLocale;
use crate::financing::ledger::Movement;
use crate::format::locale::Formats;
use crate::format::money::Money;
use crate::offers::store::AccountOffer;
use crate::stripe::{Contract, Refill};

/// Formats amounts and dates for one reader's language and the account's time zone.
pub(in crate::web::portal) struct PageFormatter<'a> {
    pub(in crate::web::portal) formats: &'a Formats,
    pub(in crate::web::portal) zone: Tz,
}

/// An offer or a financing, as the template reads it.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, read by a template")]
pub(super) struct CardView {
    phase: &'static str,
    /// Stripe creates no Account Link for an undelivered offer.
    can_apply: bool,
    /// The wording for the contract: `loan`, `cash_advance` or `unspecified`.
    contract: &'static str,
    /// As `contract`, or `fixed_term_loan`, or `unknown` for a product without wording.
    product: &'static str,
    /// Whether a minimum is due each `day`, each `week` or each so many `days`; empty if none is
    /// known.
    minimum: &'static str,
    minimum_days: Option<i64>,
    /// A bank account is debited for what the minimum lacks.
    has_bank_debit: bool,
    is_refill: bool,
    /// What a refill does to the running financing: `settles` or `stacks` it; empty if unknown.
    refill_way: &'static str,
    is_replacement: bool,
    terms: Option<TermsView>,
    expires_on: Option<String>,
    progress: Option<ProgressView>,
    /// What happens next: `share`, a share of sales is withheld for it; `waits`, an older financing
    /// is paid first; `closed`, Stripe wrote it off and settles the rest with the merchant; `unsaid`,
    /// nothing is known.
    next: &'static str,
    /// The fraction of sales that is withheld, if known.
    next_rate: Option<String>,
}

#[derive(Serialize)]
struct TermsView {
    advance: String,
    fee: String,
    total: Option<String>,
    rate: String,
    /// The discount on what remains of the running financing's fee.
    fee_discount: Option<String>,
}

#[derive(Serialize)]
struct ProgressView {
    total: String,
    paid: String,
    remaining: String,
    percent: String,
    per_mille: i64,
    paid_out_on: Option<String>,
    begins_on: Option<String>,
    /// Open from earlier periods.
    overdue: Option<String>,
    period: Option<PeriodView>,
    /// The ledger differs from Stripe's amounts.
    differs: bool,
    /// The ledger's paid amount, if it differs.
    paid_by_ours: Option<String>,
    /// The amounts are the ledger's, because Stripe's are unavailable.
    is_ours: bool,
    /// Transactions of unknown effect that the ledger leaves out.
    unclear: i64,
}

#[derive(Serialize)]
struct PeriodView {
    /// If it is before `due_on`.
    starts_on: Option<String>,
    minimum: Option<String>,
    paid: Option<String>,
    remaining: Option<String>,
    due_on: Option<String>,
    is_met: bool,
}

/// A transaction, as the template reads it.
#[derive(Serialize)]
pub(super) struct MovementRow {
    on: String,
    /// The key of its description in the templates.
    what: &'static str,
    /// Signed from the merchant's point of view.
    amount: String,
    is_in: bool,
}

impl PageFormatter<'_> {
    pub(super) fn card(&self, card: &Card, home: &AccountLocale, now: DateTime<Utc>) -> CardView {
        let contract = card.offer.contract();
        let terms = card.terms.as_ref().map(|terms| TermsView {
            advance: self.money(&terms.advance),
            fee: self.money(&terms.fee),
            total: terms.advance.plus(&terms.fee).map(|total| self.money(&total)),
            rate: self.formats.percent(terms.withhold_rate),
            fee_discount: card.offer.fee_discount().map(|rate| self.formats.percent(rate)),
        });
        let product = card.offer.product_terms(home.country.as_deref());
        let is_unknown = card.offer.has_unknown_product();
        // Stripe can end an offer before `expires_at`, which then says nothing about the end.
        let end = card.offer.expires_at.filter(|end| card.phase != Phase::Expired || *end <= now);
        // The date of the last moment at which the offer is open.
        let expires_on = end.map(|end| self.day(end - TimeDelta::seconds(1)));
        let rate = match card.paydown_order {
            PaydownOrder::Only => card.terms.as_ref().map(|terms| terms.withhold_rate),
            PaydownOrder::First(rate) => rate,
            PaydownOrder::Queued | PaydownOrder::Unknown => None,
        };
        CardView {
            phase: card.phase.into(),
            can_apply: !card.is_undelivered(),
            contract: contract.vocabulary().as_str(),
            product: if is_unknown { "unknown" } else { contract.as_str() },
            minimum: match product.minimum_days {
                None => "",
                Some(1) => "day",
                Some(7) => "week",
                Some(_) => "days",
            },
            minimum_days: product.minimum_days,
            has_bank_debit: product.has_bank_debit,
            next: match card.paydown_order {
                _ if card.offer.charged_off_at.is_some() => "closed",
                _ if is_unknown => "unsaid",
                PaydownOrder::Queued => "waits",
                PaydownOrder::Unknown => "unsaid",
                PaydownOrder::Only | PaydownOrder::First(_) => "share",
            },
            next_rate: rate.map(|rate| self.formats.percent(rate)),
            is_refill: card.offer.is_refill(),
            refill_way: product.refill.map(Refill::as_str).unwrap_or_default(),
            is_replacement: card.offer.replacement_for_offer_id.is_some(),
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
    ) -> ProgressView {
        let per_mille = progress.per_mille();
        #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
        let percent = self.formats.percent((per_mille / 10) as f64 / 100.0);
        // A cash advance has no minimum and no due date, and neither may be mentioned if the
        // contract is unknown.
        let period = progress.period.as_ref().filter(|_| contract.is_loan());
        let overdue = progress.overdue.as_ref().filter(|_| contract.is_loan());
        let currency = &progress.total.currency;
        let amount = |minor: i64| self.money(&Money { minor, currency: currency.clone() });
        let (paid_by_ours, unclear) = match &progress.source {
            FiguresFrom::Stripe => (None, 0),
            FiguresFrom::StripeDiffers(paid) => (paid.as_ref().map(|paid| self.money(paid)), 0),
            FiguresFrom::Ledger(unclear) => (None, *unclear),
        };
        ProgressView {
            total: self.money(&progress.total),
            paid: self.money(&progress.paid),
            remaining: self.money(&progress.remaining),
            percent,
            per_mille,
            paid_out_on: progress.paid_out_at.map(|at| self.day(at)),
            begins_on: progress.begins_at.filter(|at| *at > now).map(|at| self.day(at)),
            overdue: overdue.map(|overdue| self.money(overdue)),
            period: period.map(|period| PeriodView {
                starts_on: period
                    .starts_at
                    .filter(|start| period.due_at.is_some_and(|due| *start < due))
                    .map(|start| self.day(start)),
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
            differs: matches!(progress.source, FiguresFrom::StripeDiffers(_)),
            paid_by_ours,
            is_ours: matches!(progress.source, FiguresFrom::Ledger(_)),
            unclear,
        }
    }

    pub(super) fn row(&self, movement: &Movement, contract: Contract) -> MovementRow {
        let what = description_key(movement, contract);
        // The fee is part of the financing, but never reached the merchant.
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
        MovementRow { on, what, amount, is_in: minor >= 0 }
    }

    pub(in crate::web::portal) fn money(&self, money: &Money) -> String {
        self.formats.money(money)
    }

    pub(in crate::web::portal) fn day(&self, at: DateTime<Utc>) -> String {
        self.formats.day(at, self.zone)
    }

    pub(in crate::web::portal) fn moment(&self, at: DateTime<Utc>) -> String {
        format!("{}, {}", self.day(at), at.with_timezone(&self.zone).format("%H:%M\u{a0}%Z"))
    }
}

impl Figures<'_> {
    /// The contract of a transaction's financing.
    pub(super) fn contract_of(&self, movement: &Movement) -> Contract {
        let offer =
            self.offers.iter().find(|offer| movement.offer_id.as_deref() == Some(&offer.offer_id));
        offer.map_or(Contract::Unspecified, AccountOffer::contract)
    }
}

/// Our own keys, because Stripe's descriptions contain words that the copy rules forbid.
fn description_key(movement: &Movement, contract: Contract) -> &'static str {
    let is_reversal = movement.r#type == "reversal";
    match (movement.effect.as_str(), movement.reason.as_deref()) {
        ("advanced", _) if is_reversal => "taken_back",
        ("advanced", _) => "paid_out",
        ("paid", _) if movement.is_withholding && is_reversal => "share_returned",
        ("paid", _) if movement.is_withholding => "share",
        ("paid", Some("collection_failure")) => "payment_failed",
        ("paid", _) if is_reversal => "payment_returned",
        ("paid", Some("collection")) if contract.is_loan() => "minimum",
        ("paid", Some("refill")) => "refill",
        ("paid", _) => "payment",
        _ => "other",
    }
}
