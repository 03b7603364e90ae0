//! `account show`: a summary of an account. Reads the database alone, in one snapshot.

use serde::Serialize;

use crate::cli::out::{self, DAY, MINUTE, masked_address, say};
use crate::consent::opt_outs::store::OptOut;
use crate::consent::suppression::SuppressedAddress;
use crate::consent::{contact_overrides, opt_outs, suppression};
use crate::database::{self, Pool};
use crate::financing::ledger::{self, Totals};
use crate::flow::delivered::{self, StoredReport};
use crate::format::locale::{Formats, Language};
use crate::format::money::Money;
use crate::format::text::printable;
use crate::letters::deliveries::{self, DeliverySummary};
use crate::letters::evidence::store::{SentWording, wordings_of_account};
use crate::letters::store::LetterSummary;
use crate::offers::store::OfferListing;
use crate::stripe::AccountId;
use crate::web::portal::{self, SessionSummary};
use crate::{letters, offers};

/// What fits on a terminal beside nothing else.
const COLUMNS: usize = 100;

#[derive(Serialize)]
struct AccountSummary<'a> {
    account_id: &'a str,
    /// The address that the platform set. Without it, letters go to Stripe's.
    contact: Option<Contact>,
    opt_outs: Vec<OptOut>,
    sessions: Vec<SessionSummary>,
    financings: Vec<Totals>,
    wordings: Vec<SentWording>,
    offers: Vec<OfferSummary>,
}

#[derive(Serialize)]
struct Contact {
    /// Masked.
    address: String,
    updated_at: chrono::DateTime<chrono::Utc>,
    updated_by: String,
}

#[derive(Serialize)]
struct OfferSummary {
    #[serde(flatten)]
    offer: OfferListing,
    letters: Vec<LetterSummary>,
    suppressed_addresses: Vec<SuppressedAddress>,
    delivery: Option<DeliverySummary>,
    delivery_reports: Vec<StoredReport>,
}

pub(super) async fn show(db: &Pool, account: &AccountId, json: bool) -> anyhow::Result<()> {
    let summary = read(db, account.as_str()).await?;
    if json {
        return out::json(&summary);
    }
    say!("{}", summary.account_id)?;
    print_contact_and_consent(&summary)?;
    print_financings(&summary)?;
    summary.offers.iter().try_for_each(print_offer)
}

async fn read<'a>(db: &Pool, account_id: &'a str) -> sqlx::Result<AccountSummary<'a>> {
    let mut tx = database::snapshot(db).await?;
    let contact = contact_overrides::find(&mut *tx, account_id).await?;
    let mut reports = delivered::reports_of_account(&mut *tx, account_id).await?;
    let mut offers = Vec::new();
    for offer in offers::store::list_of_account(&mut *tx, account_id).await? {
        let id = offer.offer_id.as_str();
        offers.push(OfferSummary {
            letters: letters::store::of_offer(&mut *tx, id).await?,
            suppressed_addresses: suppression::list_for_offer(&mut tx, id).await?,
            delivery: deliveries::find(&mut *tx, id).await?,
            delivery_reports: reports.extract_if(.., |report| report.offer_id == id).collect(),
            offer,
        });
    }
    Ok(AccountSummary {
        account_id,
        contact: contact.map(|contact| Contact {
            address: masked_address(&contact.address),
            updated_at: contact.updated_at,
            updated_by: contact.updated_by,
        }),
        opt_outs: opt_outs::store::of_account(&mut *tx, account_id).await?,
        sessions: portal::sessions_of_account(&mut *tx, account_id).await?,
        financings: ledger::store::totals(&mut tx, account_id, None).await?,
        wordings: wordings_of_account(&mut *tx, account_id).await?,
        offers,
    })
}

fn print_contact_and_consent(summary: &AccountSummary<'_>) -> anyhow::Result<()> {
    match &summary.contact {
        Some(Contact { address, updated_at, updated_by }) => {
            let at = updated_at.format(MINUTE);
            row("contact", &format!("{address}, set {at} by {updated_by}"))?;
        }
        None => row("contact", "the platform set no address: emails go to the one at Stripe")?,
    }
    for opt_out in &summary.opt_outs {
        let since = opt_out.opted_out_at.format(MINUTE);
        let end = opt_out.ended_at.map(|end| format!(" until {}", end.format(MINUTE)));
        let note = opt_out.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
        let source = &opt_out.source;
        let end = end.unwrap_or_else(|| ", in force".to_owned());
        row("opt-out", &format!("since {since}{end}, by {source}{note}"))?;
    }
    if summary.opt_outs.is_empty() {
        row("opt-out", "never")?;
    }
    if let Some(newest) = summary.sessions.first() {
        let (number, at) = (summary.sessions.len(), newest.created_at.format(MINUTE));
        row("sessions", &format!("{number} in the Capital section, the last since {at}"))?;
    }
    Ok(())
}

fn print_financings(summary: &AccountSummary<'_>) -> anyhow::Result<()> {
    for totals in &summary.financings {
        let amount = |minor| money(minor, &totals.currency);
        let offer = totals.offer_id.as_deref().unwrap_or("of no known offer");
        row("financing", &format!("{offer}, the last transaction {}", totals.last_at.format(DAY)))?;
        let unclear = match totals.unclear {
            0 => String::new(),
            unclear => format!("; {unclear} transactions unclear"),
        };
        row(
            "",
            &format!(
                "paid out {}, paid back {}, remaining {}{unclear}",
                amount(totals.advanced_minor),
                amount(totals.paid_minor),
                amount(totals.remaining_minor)
            ),
        )?;
    }
    for wording in &summary.wordings {
        let hash = wording.copy_hash.as_deref().unwrap_or("without a hash");
        let (letters, at) = (wording.letters, wording.last_attempted_at.format(MINUTE));
        row("wording", &format!("{hash}, in {letters} emails, the last {at}"))?;
        let Some(market) = &wording.market else {
            row("", "no approval: test data")?;
            continue;
        };
        let at = wording.approved_at.map(|at| format!(" on {}", at.format(DAY)));
        let by = wording.approved_by.as_deref().unwrap_or("?");
        let reference = wording.reference.as_deref().unwrap_or("?");
        let at = at.unwrap_or_default();
        row("", &format!("approved for {market}{at}, recorded by {by}, reference {reference}"))?;
    }
    Ok(())
}

fn print_offer(summary: &OfferSummary) -> anyhow::Result<()> {
    let OfferSummary { offer, letters, suppressed_addresses, delivery, delivery_reports } = summary;
    let amount = |minor: Option<i64>| {
        minor.map_or("?".to_owned(), |minor| {
            money(minor, offer.currency.as_deref().unwrap_or_default())
        })
    };
    let (advance, fee) = (amount(offer.advance_minor), amount(offer.fee_minor));
    let until = offer.expires_at.map(|end| format!(" to {}", end.format(DAY))).unwrap_or_default();
    let from = offer.created_at.format(DAY);
    line(&format!("{}  {}  {advance} + {fee} fee  {from}{until}", offer.offer_id, offer.status))?;
    for letter in letters {
        let LetterSummary { kind, state, .. } = letter;
        let reason =
            letter.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let at = letter.sent_at.unwrap_or(letter.changed_at).format(MINUTE);
        let doubt = if letter.uncertain_attempts > 0 && letter.sent_at.is_none() {
            ", may have been sent"
        } else {
            ""
        };
        row("email", &format!("{kind}: {state}{reason} {at}{doubt}"))?;
        if let Some(reply) = letter.relay_reply.as_deref().filter(|reply| !reply.is_empty()) {
            row("", reply)?;
        }
    }
    for address in suppressed_addresses {
        let SuppressedAddress { reason, status, held, .. } = address;
        let since = address.suppressed_at.format(MINUTE);
        let text = format!("its address since {since} ({reason} {status}), {held} emails held");
        row("suppressed", &text)?;
    }
    for StoredReport { channel, told_at, reference, reported_by, .. } in delivery_reports {
        let at = told_at.format(MINUTE);
        let reference = reference.as_deref().map(|id| format!(", {id}")).unwrap_or_default();
        row("told by", &format!("{channel} {at}, reported by {reported_by}{reference}"))?;
    }
    if let Some(delivery) = delivery {
        let at = delivery.delivered_at.unwrap_or(delivery.requested_at).format(MINUTE);
        let status = delivery.response_status.map(|status| format!(", Stripe answered {status}"));
        let note = delivery.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
        let status = status.unwrap_or_default();
        row("delivery", &format!("{} {at}{status}{note}", delivery.state))?;
    }
    Ok(())
}

fn money(minor: i64, currency: &str) -> String {
    let currency = currency.to_owned();
    Formats::new(Language::English, None).money(&Money { minor, currency })
}

fn row(label: &str, text: &str) -> anyhow::Result<()> {
    line(&format!("  {label:<10}  {text}"))
}

/// Prints one line, cut to the width of the terminal.
fn line(text: &str) -> anyhow::Result<()> {
    // Escaped first: an escape takes more columns than its character.
    let text = printable(text);
    if text.chars().count() > COLUMNS {
        say!("{}…", text.chars().take(COLUMNS - 1).collect::<String>())?;
    } else {
        say!("{text}")?;
    }
    Ok(())
}
