//! Everything that is known about one offer, and the answer to "why has this merchant no email?".
//! Reads the database alone, in one snapshot.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::actions::{self, LoggedAction};
use crate::consent::suppression::{self, SuppressedAddress};
use crate::database::{self, Pool};
use crate::flow::delivered::{self, StoredReport};
use crate::flow::email::SendLetter;
use crate::flow::offer::why_no_email;
use crate::letters::deliveries::{self, DeliverySummary};
use crate::letters::evidence::store::{AttemptRecord, attempts_of};
use crate::letters::pauses::{self, Pause};
use crate::letters::reason::{explain, remedy};
use crate::letters::store::LetterSummary;
use crate::mail::Address;
use crate::offers::store::OfferListing;
use crate::offers::timeline::{self, TimelineEntry};
use crate::queue::stats::JobRow;
use crate::queue::{self, Work};
use crate::{letters, offers};

#[derive(Debug, Serialize)]
pub struct OfferCase {
    pub offer: OfferListing,
    pub answer: Answer,
    /// In order of their opening: the first is the one that makes the offer delivered.
    pub letters: Vec<LetterSummary>,
    /// Of all letters, in order of time.
    pub attempts: Vec<AttemptRecord>,
    /// The job of the newest letter that is not sent.
    pub job: Option<JobRow>,
    pub delivery: Option<DeliverySummary>,
    pub suppressed_addresses: Vec<SuppressedAddress>,
    pub delivery_reports: Vec<StoredReport>,
    /// In the order of recording.
    pub timeline: Vec<TimelineEntry>,
    /// What operators did about it.
    pub actions: Vec<LoggedAction>,
}

/// Whether the merchant has the email, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    pub standing: Standing,
    pub sentence: String,
    /// What an operator can do about it.
    pub remedy: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Told, or nothing to tell.
    Settled,
    /// Goes on by itself.
    Underway,
    /// Waits for an operator.
    NeedsOperator,
}

/// None if the offer is unknown.
pub async fn read(db: &Pool, offer_id: &str) -> sqlx::Result<Option<OfferCase>> {
    let mut tx = database::snapshot(db).await?;
    let Some(offer) = offers::store::find(&mut *tx, offer_id).await? else { return Ok(None) };
    let letters = letters::store::of_offer(&mut *tx, offer_id).await?;
    let letter_ids: Vec<String> = letters.iter().map(|letter| letter.letter_id.clone()).collect();
    let mut job = None;
    if let Some(unsent) = letters.iter().rev().find(|letter| letter.sent_at.is_none()) {
        let (kind, subject) = (SendLetter::KIND, &unsent.letter_id);
        job = queue::stats::find_about(&mut *tx, kind, subject).await?;
    }
    let delivery = deliveries::find(&mut *tx, offer_id).await?;
    let mut delivery_reports = delivered::reports_of_account(&mut *tx, &offer.account_id).await?;
    delivery_reports.retain(|report| report.offer_id == offer_id);
    let attempts = attempts_of(&mut *tx, &letter_ids).await?;
    let is_all_paused = pauses::in_force(&mut *tx).await?.iter().any(Pause::stops_all);
    let facts = Facts {
        is_all_paused,
        offer: &offer,
        first: letters.first(),
        recipient: attempts.last().map(|attempt| attempt.recipient.as_str()),
        taken_at: attempts
            .iter()
            .filter(|attempt| attempt.outcome.as_deref() == Some("sent"))
            .filter_map(|attempt| attempt.recorded_at)
            .max(),
        job: job.as_ref(),
        delivery: delivery.as_ref(),
        report: delivery_reports.first(),
    };
    Ok(Some(OfferCase {
        answer: facts.answer(),
        attempts,
        job,
        delivery,
        suppressed_addresses: suppression::list_for_offer(&mut tx, offer_id).await?,
        delivery_reports,
        timeline: timeline::of_offer(&mut *tx, offer_id).await?,
        actions: actions::list_of_offer(&mut *tx, offer_id).await?,
        letters,
        offer,
    }))
}

/// What the answer depends on.
struct Facts<'a> {
    is_all_paused: bool,
    offer: &'a OfferListing,
    first: Option<&'a LetterSummary>,
    recipient: Option<&'a str>,
    /// When the relay took an email last, whatever became of it.
    taken_at: Option<DateTime<Utc>>,
    job: Option<&'a JobRow>,
    delivery: Option<&'a DeliverySummary>,
    report: Option<&'a StoredReport>,
}

fn day_and_time(at: DateTime<Utc>) -> String {
    at.format("%-d %b %Y, %H:%M UTC").to_string()
}

/// Why there is no email, of an offer that never had one.
pub(super) fn without_letter(offer: &OfferListing, report: Option<&StoredReport>) -> String {
    report.map_or_else(
        || why_no_email(offer),
        |report| {
            format!(
                "No email: the platform told the merchant itself ({}, {}).",
                report.channel,
                day_and_time(report.told_at)
            )
        },
    )
}

impl Facts<'_> {
    fn answer(&self) -> Answer {
        let Some(letter) = self.first else {
            let sentence = without_letter(self.offer, self.report);
            return Answer { standing: Standing::Settled, sentence, remedy: None };
        };
        let at = day_and_time(letter.changed_at);
        let reason = letter.reason.as_deref().unwrap_or_default();
        let why = explain(reason);
        let needs = |sentence: String, remedy| Answer {
            standing: Standing::NeedsOperator,
            sentence,
            remedy: Some(remedy),
        };
        // Sent, came back, and stopped since.
        let before = self.taken_at.map_or_else(
            || "No email was sent".to_owned(),
            |at| {
                format!("An email was sent on {} and came back; no other one was", day_and_time(at))
            },
        );
        let settled = |sentence| Answer { standing: Standing::Settled, sentence, remedy: None };
        match letter.state.as_str() {
            "waiting" | "sending" | "uncertain" => self.underway(letter),
            "sent" => self.sent(letter),
            "held" => {
                needs(format!("{before}: it is held since {at}, because {why}."), remedy(reason))
            }
            "rejected" => {
                needs(format!("{before}: it was rejected on {at}, because {why}."), remedy(reason))
            }
            "bounced" => needs(
                format!("The email was sent and came back on {at}."),
                "set another address with `contact set`, or allow this one with `address allow`; then \
                 `offer resend`",
            ),
            "withdrawn" if reason == "offer_delivered" => settled(
                "Stripe says that the offer was delivered; no email about it is on record here: \
                 another channel, or records that were lost."
                    .to_owned(),
            ),
            "withdrawn" if reason.starts_with("offer_") => settled(format!(
                "No email was sent: the offer was {} before it could leave.",
                reason.trim_start_matches("offer_").replace('_', " ")
            )),
            "withdrawn" | "suppressed" => settled(format!(
                "No email was sent: it was {} on {at}, because {why}.",
                letter.state
            )),
            other => settled(format!("The email is {other} since {at}.")),
        }
    }

    fn underway(&self, letter: &LetterSummary) -> Answer {
        let since = day_and_time(letter.changed_at);
        let is_put_off =
            self.job.is_some_and(|job| job.last_error.as_deref() == Some(pauses::PUT_OFF));
        if letter.state == "waiting" && (self.is_all_paused || is_put_off) {
            return Answer {
                standing: Standing::NeedsOperator,
                sentence: "Not sent: an operator paused sending.".to_owned(),
                remedy: Some("`pause --list` says who and why; `resume` ends it"),
            };
        }
        let sentence = match (letter.state.as_str(), self.job) {
            ("waiting", Some(job)) if job.last_error.is_some() => format!(
                "Not sent yet: attempt {} failed ({}); the next one is at {}.",
                job.attempt,
                job.last_error.as_deref().unwrap_or_default(),
                day_and_time(job.due_at)
            ),
            ("waiting", Some(job)) => {
                format!("Not sent yet: the email waits, and is due {}.", day_and_time(job.due_at))
            }
            ("waiting", None) => format!("Not sent yet: the email waits since {since}."),
            (_, _) => format!("The email is being sent since {since}."),
        };
        Answer { standing: Standing::Underway, sentence, remedy: None }
    }

    fn sent(&self, letter: &LetterSummary) -> Answer {
        let at = day_and_time(letter.sent_at.unwrap_or(letter.changed_at));
        // An erased recipient is a hash, which a sentence can leave out.
        let to = self.recipient.and_then(|recipient| recipient.parse::<Address>().ok());
        let to = to.map(|address| format!(" to {address}")).unwrap_or_default();
        let email = format!("The email was sent{to} on {at}");
        let (standing, told, remedy) = match self.delivery {
            Some(of) if of.state == "delivered" => {
                let told = day_and_time(of.delivered_at.unwrap_or(of.requested_at));
                (Standing::Settled, format!("Stripe was told on {told}"), None)
            }
            Some(of) if of.state == "refused" => (
                Standing::NeedsOperator,
                "Stripe refused to mark the offer as delivered".to_owned(),
                Some("read Stripe's answer, remove its cause, then `job retry`"),
            ),
            Some(_) | None => (Standing::Underway, "Stripe is still to be told".to_owned(), None),
        };
        Answer { standing, sentence: format!("{email}; {told}."), remedy }
    }
}
