//! The template's view of cards and transactions: amounts and dates formatted for the reader. The
//! text around them is in the templates.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::history::{ChartView, Financed, FinancingName, History};
use super::phase::{Card, PaydownOrder, Phase};
use super::progress::{FiguresFrom, FinancingTerms, Progress, per_mille};
use crate::financing::AccountLocale;
use crate::financing::ledger::Movement;
use crate::format::locale::Formats;
use crate::format::money::Money;
use crate::letters::wording::SalesDay;
use crate::stripe::{Contract, Period, Refill};

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
    /// None if the account has one financing.
    name: Option<FinancingName>,
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
    /// About what a refill that settles the running financing leaves of its full amount.
    refill_net: Option<String>,
    is_replacement: bool,
    /// It replaces an offer whose application was rejected.
    is_counteroffer: bool,
    terms: Option<TermsView>,
    expires_on: Option<String>,
    /// When the merchant applied.
    applied_on: Option<String>,
    /// When it was rejected, canceled or paid in full.
    ended_on: Option<String>,
    progress: Option<ProgressView>,
    /// What was paid by week.
    chart: Option<ChartView>,
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
    /// Without cents if there are none.
    headline: String,
    /// A day with sales, and the share of them that is paid. None for a rate without a share.
    example: Option<ExampleView>,
    fee: String,
    total: Option<String>,
    rate: String,
    /// The discount on what remains of the running financing's fee.
    fee_discount: Option<String>,
}

#[derive(Serialize)]
struct ExampleView {
    sales: String,
    share: String,
}

#[derive(Serialize)]
struct ProgressView {
    total: String,
    paid: String,
    remaining: String,
    percent: String,
    per_mille: i64,
    paid_out_on: Option<String>,
    /// From the payout to the last payment.
    days: Option<i64>,
    /// Stripe's pages accept a payment.
    is_payable: bool,
    /// Paid in this week, where the contract has no periods.
    this_week: Option<String>,
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
    /// Its last day: the next period begins at the moment at which it is due.
    ends_on: Option<String>,
    is_met: bool,
    /// The paid part of the minimum.
    per_mille: i64,
    /// Days after today until it is due.
    days_left: Option<i64>,
}

/// A transaction, as the template reads it.
#[derive(Serialize)]
pub(in crate::web::portal) struct MovementRow {
    on: String,
    /// The key of its description in the templates.
    what: &'static str,
    /// Signed from the merchant's point of view.
    amount: String,
    is_in: bool,
    /// None if the account has one financing.
    financing: Option<FinancingName>,
    /// What remains after it.
    balance: Option<String>,
}

/// What a card is formatted with.
pub(super) struct CardContext<'a> {
    pub(super) home: &'a AccountLocale,
    pub(super) financed: &'a Financed<'a>,
    pub(super) history: &'a History,
    /// What remains of the only running financing.
    pub(super) running: Option<&'a Money>,
    pub(super) now: DateTime<Utc>,
}

impl PageFormatter<'_> {
    pub(super) fn card(&self, card: &Card, context: &CardContext<'_>) -> CardView {
        let now = context.now;
        let offer_id = card.offer.offer_id.as_str();
        let contract = card.offer.contract();
        let product = card.offer.product_terms(context.home.country.as_deref());
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
        let paid_out_at = card.progress.as_ref().and_then(|progress| progress.paid_out_at);
        CardView {
            phase: card.phase.into(),
            name: context.financed.name_of(Some(offer_id), self),
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
            refill_net: self.refill_net(card, product.refill, context.running),
            is_replacement: card.offer.replacement_for_offer_id.is_some(),
            is_counteroffer: context.financed.is_counteroffer(&card.offer),
            terms: card.terms.as_ref().map(|terms| self.terms(terms, card)),
            expires_on,
            applied_on: card.offer.came_to("accepted").map(|at| self.day(at)),
            ended_on: ended_at(card).map(|at| self.day(at)),
            progress: card.progress.as_ref().map(|progress| {
                let this_week = (!contract.is_loan() || progress.period.is_none())
                    .then(|| self.paid_in_week(context.history, card, now))
                    .flatten();
                let days = ended_at(card)
                    .zip(paid_out_at)
                    .map(|(end, begin)| (self.local_day(end) - self.local_day(begin)).num_days());
                ProgressView {
                    days: days.filter(|days| *days > 0),
                    this_week,
                    ..self.progress(progress, contract, now)
                }
            }),
            chart: self.chart(context.history, offer_id, paid_out_at),
        }
    }

    fn terms(&self, terms: &FinancingTerms, card: &Card) -> TermsView {
        TermsView {
            advance: self.money(&terms.advance),
            headline: self.formats.money_short(&terms.advance),
            example: self.example(terms),
            fee: self.money(&terms.fee),
            total: terms.advance.plus(&terms.fee).map(|total| self.money(&total)),
            rate: self.formats.percent(terms.withhold_rate),
            fee_discount: card.offer.fee_discount().map(|rate| self.formats.percent(rate)),
        }
    }

    /// Without the discount on the running financing's fee, which Stripe determines at the payout.
    fn refill_net(
        &self,
        card: &Card,
        refill: Option<Refill>,
        running: Option<&Money>,
    ) -> Option<String> {
        let (terms, running) = (card.terms.as_ref()?, running?);
        let is_open = matches!(card.phase, Phase::Open | Phase::UnderReview);
        if !is_open || !card.offer.is_refill() || refill != Some(Refill::Settles) {
            return None;
        }
        let minor = terms.advance.minor.checked_sub(running.minor)?;
        let is_part = running.minor > 0 && minor > 0;
        let currency = running.currency.clone();
        (is_part && currency == terms.advance.currency)
            .then(|| self.formats.money_short(&Money { minor, currency }))
    }

    /// A day with sales of a thousand, for a share of at least a minor unit and not of all.
    fn example(&self, terms: &FinancingTerms) -> Option<ExampleView> {
        let SalesDay { sales, share } =
            SalesDay::new(&terms.advance.currency, terms.withhold_rate)?;
        let short = |money| self.formats.money_short(money);
        (1..sales.minor)
            .contains(&share.minor)
            .then(|| ExampleView { sales: short(&sales), share: short(&share) })
    }

    /// What was paid for it since Monday; none if nothing was.
    fn paid_in_week(&self, history: &History, card: &Card, now: DateTime<Utc>) -> Option<String> {
        let week = history.weeks.of(now)?;
        let offer_id = Some(card.offer.offer_id.as_str());
        let line = history
            .lines
            .iter()
            .find(|line| line.first_day == week && line.offer_id.as_deref() == offer_id)?;
        let money = Money { minor: line.paid_minor, currency: line.currency.clone() };
        (money.minor > 0).then(|| self.money(&money))
    }

    fn progress(
        &self,
        progress: &Progress,
        contract: Contract,
        now: DateTime<Utc>,
    ) -> ProgressView {
        let per_mille = progress.per_mille();
        #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
        let percent = match per_mille {
            // Money was paid: not 0 %.
            1..10 => format!("<{}", self.formats.percent(0.01)),
            _ => self.formats.percent((per_mille / 10) as f64 / 100.0),
        };
        // A cash advance has no minimum and no due date, and neither may be mentioned if the
        // contract is unknown.
        let period = progress.period.as_ref().filter(|_| contract.is_loan());
        let overdue = progress.overdue.as_ref().filter(|_| contract.is_loan());
        let currency = &progress.total.currency;
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
            days: None,
            is_payable: progress.is_payable,
            this_week: None,
            begins_on: progress.begins_at.filter(|at| *at > now).map(|at| self.day(at)),
            overdue: overdue.map(|overdue| self.money(overdue)),
            period: period.map(|period| self.period(period, currency, now)),
            differs: matches!(progress.source, FiguresFrom::StripeDiffers(_)),
            paid_by_ours,
            is_ours: matches!(progress.source, FiguresFrom::Ledger(_)),
            unclear,
        }
    }

    fn period(&self, period: &Period, currency: &str, now: DateTime<Utc>) -> PeriodView {
        let amount = |minor: i64| self.money(&Money { minor, currency: currency.to_owned() });
        let minimum = period
            .paid_amount
            .zip(period.remaining_amount)
            .and_then(|(paid, remaining)| paid.checked_add(remaining));
        let days_left = period
            .due_at
            .filter(|due| *due > now)
            .map(|due| (self.local_day(due) - self.local_day(now)).num_days());
        PeriodView {
            starts_on: period
                .starts_at
                .filter(|start| period.due_at.is_some_and(|due| *start < due))
                .map(|start| self.day(start)),
            minimum: minimum.map(amount),
            paid: period.paid_amount.map(amount),
            remaining: period.remaining_amount.map(amount),
            due_on: period.due_at.map(|at| self.day(at)),
            ends_on: period.due_at.and_then(|due| self.last_day_before(due)),
            is_met: period.remaining_amount.is_some_and(|remaining| remaining <= 0),
            per_mille: per_mille(period.paid_amount.unwrap_or(0), minimum.unwrap_or(0)),
            days_left,
        }
    }

    pub(super) fn row(
        &self,
        movement: &Movement,
        financed: &Financed<'_>,
        balance: Option<String>,
    ) -> MovementRow {
        let offer_id = movement.offer_id.as_deref();
        let what = description_key(movement, financed.contract_of(offer_id));
        let minor = match movement.effect.as_str() {
            "paid" | "discounted" => movement.total_minor.saturating_neg(),
            _ => movement.total_minor,
        };
        let currency = &movement.currency;
        let amount = if movement.effect == "unclear" {
            self.money(&Money { minor: minor.saturating_abs(), currency: currency.clone() })
        } else {
            self.signed(minor, currency)
        };
        let on = self.formats.short_date(self.local_day(movement.created_at));
        let financing = financed.name_of(offer_id, self);
        MovementRow { on, what, amount, is_in: minor >= 0, financing, balance }
    }

    /// With a plus or a minus sign.
    pub(in crate::web::portal) fn signed(&self, minor: i64, currency: &str) -> String {
        let sign = if minor < 0 { "\u{2212}" } else { "+" };
        let size = Money { minor: minor.saturating_abs(), currency: currency.to_owned() };
        format!("{sign}{}", self.money(&size))
    }

    pub(in crate::web::portal) fn money(&self, money: &Money) -> String {
        self.formats.money(money)
    }

    pub(in crate::web::portal) fn day(&self, at: DateTime<Utc>) -> String {
        self.formats.day(at, self.zone)
    }

    fn local_day(&self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.zone).date_naive()
    }

    /// The last day that is wholly before a moment; one that ends with its second counts.
    fn last_day_before(&self, at: DateTime<Utc>) -> Option<String> {
        let day = self.local_day(at + TimeDelta::seconds(1)).pred_opt()?;
        Some(self.formats.date(day))
    }

    pub(in crate::web::portal) fn moment(&self, at: DateTime<Utc>) -> String {
        self.formats.moment(at, self.zone)
    }
}

/// When it was rejected, canceled or paid in full; none if that is unknown.
fn ended_at(card: &Card) -> Option<DateTime<Utc>> {
    let last_at = || card.progress.as_ref().and_then(|progress| progress.last_at);
    match card.phase {
        Phase::PaidInFull => card.offer.came_to("fully_repaid").or_else(last_at),
        Phase::Rejected => card.offer.came_to("rejected"),
        Phase::Canceled => card.offer.came_to("canceled"),
        Phase::InProgress | Phase::UnderReview | Phase::Open | Phase::Expired | Phase::Gone => None,
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
        ("discounted", _) => "discount",
        _ => "other",
    }
}
