//! `account show`: a summary of an account. Reads the database alone.

use serde::Serialize;

use crate::cli::out::{self, DAY, MINUTE, say};
use crate::consent::suppression::SuppressedAddress;
use crate::database::Pool;
use crate::flow::delivered::StoredReport;
use crate::format::locale::operator_amount;
use crate::format::text::printable;
use crate::letters::store::LetterSummary;
use crate::operators::account_case::{self, AccountCase, AccountOfferCase, SetContact};
use crate::stripe::AccountId;
use crate::web::portal::{self, SessionSummary};

/// What fits on a terminal beside nothing else.
const COLUMNS: usize = 100;

/// What is known, and the visits of the Capital section.
#[derive(Serialize)]
struct AccountSummary {
    #[serde(flatten)]
    case: AccountCase,
    sessions: Vec<SessionSummary>,
}

pub(super) async fn show(db: &Pool, account: &AccountId, json: bool) -> anyhow::Result<()> {
    let sessions = portal::sessions_of_account(db, account.as_str()).await?;
    let summary =
        AccountSummary { case: account_case::read(db, account.as_str()).await?, sessions };
    if json {
        return out::json(&summary);
    }
    say!("{}", summary.case.account_id)?;
    print_contact_and_consent(&summary)?;
    print_financings(&summary.case)?;
    summary.case.offers.iter().try_for_each(print_offer)
}

fn print_contact_and_consent(summary: &AccountSummary) -> anyhow::Result<()> {
    let AccountSummary { case, sessions } = summary;
    match &case.contact {
        Some(SetContact { address, updated_at, updated_by }) => {
            let at = updated_at.format(MINUTE);
            row("contact", &format!("{address}, set {at} by {updated_by}"))?;
        }
        None => row("contact", "the platform set no address: emails go to the one at Stripe")?,
    }
    for opt_out in &case.opt_outs {
        let since = opt_out.opted_out_at.format(MINUTE);
        let end = opt_out.ended_at.map(|end| format!(" until {}", end.format(MINUTE)));
        let note = opt_out.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
        let source = &opt_out.source;
        let end = end.unwrap_or_else(|| ", in force".to_owned());
        row("opt-out", &format!("since {since}{end}, by {source}{note}"))?;
    }
    if case.opt_outs.is_empty() {
        row("opt-out", "never")?;
    }
    if let Some(newest) = sessions.first() {
        let (number, at) = (sessions.len(), newest.created_at.format(MINUTE));
        row("sessions", &format!("{number} in the Capital section, the last since {at}"))?;
    }
    Ok(())
}

fn print_financings(summary: &AccountCase) -> anyhow::Result<()> {
    for totals in &summary.financings {
        let amount = |minor| money(minor, &totals.currency);
        let offer = totals.offer_id.as_deref().unwrap_or("of no known offer");
        row("financing", &format!("{offer}, the last transaction {}", totals.last_at.format(DAY)))?;
        let unclear = match totals.unclear {
            0 => String::new(),
            unclear => format!("; {unclear} transactions unclear"),
        };
        let discount = match totals.discounted_minor {
            0 => String::new(),
            minor => format!("discount on its fee {}, ", amount(minor)),
        };
        row(
            "",
            &format!(
                "paid out {}, paid back {}, {discount}remaining {}{unclear}",
                amount(totals.advanced_minor),
                amount(totals.paid_minor),
                amount(totals.remaining_minor)
            ),
        )?;
    }
    for wording in &summary.wordings {
        let hash = wording.copy_hash.as_deref().unwrap_or("without a hash");
        let (letters, at) = (wording.letters, wording.last_attempted_at.format(MINUTE));
        row("wording", &format!("{hash}, emails: {letters}, the last {at}"))?;
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

fn print_offer(summary: &AccountOfferCase) -> anyhow::Result<()> {
    let AccountOfferCase {
        offer,
        letters,
        without_letter,
        suppressed_addresses,
        delivery,
        delivery_reports,
        ..
    } = summary;
    let amount = |minor: Option<i64>| {
        minor.map_or("?".to_owned(), |minor| {
            money(minor, offer.currency.as_deref().unwrap_or_default())
        })
    };
    let (advance, fee) = (amount(offer.advance_minor), amount(offer.fee_minor));
    let until = offer.expires_at.map(|end| format!(" to {}", end.format(DAY))).unwrap_or_default();
    let from = offer.created_at.format(DAY);
    line(&format!("{}  {}  {advance} + {fee} fee  {from}{until}", offer.offer_id, offer.status))?;
    for (index, text) in without_letter.iter().flat_map(|why| wrap(why)).enumerate() {
        row(if index == 0 { "email" } else { "" }, &text)?;
    }
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
        let text = format!("its address since {since} ({reason} {status}), emails held: {held}");
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
    operator_amount(Some(minor), Some(currency)).unwrap_or_default()
}

const LABEL: usize = 10;

fn row(label: &str, text: &str) -> anyhow::Result<()> {
    line(&format!("  {label:<LABEL$}  {text}"))
}

/// Sentences as the lines of a row.
fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, String::len);
        match lines.last_mut() {
            Some(line) if last > 0 && LABEL + 4 + last + 1 + word.len() <= COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            Some(line) if last == 0 => line.push_str(word),
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
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
