//! `email recipients`: the accounts that wait for an email, each with the address that would be
//! used, or why there is none. Sends nothing.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::app::App;
use crate::cli::out::{self, note};
use crate::cli::progress::Progress;
use crate::cli::table;
use crate::clock::Clock;
use crate::config::Settings;
use crate::flow::email::{
    ExpectedRecipient, ExpectedRecipients, NoRecipient, OfferAwaitingLetter, RecipientError,
};
use crate::letters::reason::{NOT_CONNECTED, OPTED_OUT};
use crate::queue::{Next, Retryable};
use crate::stripe::{AccountId, Error};

/// Accounts between two lines of progress, where no bar can be drawn.
const PROGRESS_EVERY: usize = 100;
/// How often a call that Stripe's rate limit refused is repeated.
const MAX_PAUSES: u32 = 10;
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// Not in `letters.reason`: Stripe could not be asked.
const UNKNOWN: &str = "unknown";

/// An account as the command prints it.
#[derive(Debug, Serialize)]
struct RecipientLine {
    account_id: String,
    /// Masked unless asked for in full; `None` if there is no usable address.
    address: Option<String>,
    /// `contact_override`, or the path of the field at Stripe.
    source: Option<&'static str>,
    /// Why there is no usable address.
    reason: Option<&'static str>,
    /// For people.
    #[serde(skip)]
    explanation: String,
    offers: Vec<OfferAwaitingLetter>,
}

/// Exit status 1 if Stripe could not be asked about an account, in the way of one that concerns
/// this account alone. Anything else, such as a wrong key, ends the command.
pub(super) async fn run(
    settings: Settings,
    addresses: bool,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let app = App::open(settings, Clock::system()).await?;
    let found = look_up_all(&app.expected_recipients(), addresses).await;
    app.close().await;
    let found = found?;
    let is_complete = found.iter().all(|line| line.reason != Some(UNKNOWN));
    let with_address = found.iter().filter(|line| line.address.is_some()).count();
    out::ignore_closed(table::print(
        json,
        &found,
        ["account", "address", "source or reason"],
        describe,
    ))?;
    note!(
        "{} accounts wait for an email: {with_address} with a usable address, {} without",
        found.len(),
        found.len() - with_address
    );
    Ok(ExitCode::from(u8::from(!is_complete)))
}

async fn look_up_all(
    expected: &ExpectedRecipients,
    addresses: bool,
) -> anyhow::Result<Vec<RecipientLine>> {
    let accounts = expected.accounts().await.context("cannot read the offers")?;
    let total = accounts.len();
    let mut lines = Vec::with_capacity(total);
    let progress = Progress::bar("asking Stripe about accounts", total);
    // One after the other: a running service needs Stripe's rate limit more than this command.
    for (account_id, offers) in accounts {
        let id: AccountId = account_id.parse()?;
        let found = look_up(expected, &id).await;
        let mut line = RecipientLine {
            account_id,
            address: None,
            source: None,
            reason: None,
            explanation: String::new(),
            offers,
        };
        match found {
            Ok(found) => line.fill(found, addresses),
            Err(error) => line.fill_error(error)?,
        }
        lines.push(line);
        progress.advance(1);
        if progress.is_hidden() && total > PROGRESS_EVERY && lines.len() % PROGRESS_EVERY == 0 {
            note!("{} of {total} accounts", lines.len());
        }
    }
    Ok(lines)
}

/// Waits as long as Stripe's rate limit asks for.
async fn look_up(
    expected: &ExpectedRecipients,
    account: &AccountId,
) -> Result<ExpectedRecipient, RecipientError> {
    let mut pauses = 0;
    loop {
        match expected.find(account).await {
            Err(RecipientError::Stripe(error)) if !error.is_wrong_key() && pauses < MAX_PAUSES => {
                let Next::Postpone(pause) = error.next() else { return Err(error.into()) };
                pauses += 1;
                tokio::time::sleep(pause.min(MAX_PAUSE)).await;
            }
            found => return found,
        }
    }
}

impl RecipientLine {
    fn fill(&mut self, found: ExpectedRecipient, addresses: bool) {
        match found {
            ExpectedRecipient::Found(recipient) => {
                let address = &recipient.address;
                let shown = if addresses { address.expose().into() } else { address.to_string() };
                self.address = Some(shown);
                self.source = Some(recipient.source.as_str());
            }
            ExpectedRecipient::OptedOut => self.stop(OPTED_OUT, "the account opted out"),
            ExpectedRecipient::NotFound(missing) => {
                let explanation = match &missing {
                    NoRecipient::Missing => "Stripe has no address that may be used".to_owned(),
                    NoRecipient::Invalid(source) => {
                        format!("{} is not an email address", source.as_str())
                    }
                    NoRecipient::Suppressed(_) => {
                        "the address is suppressed: see `address list`".to_owned()
                    }
                };
                self.stop(missing.reason(), &explanation);
            }
        }
    }

    /// An error about this account alone is part of its line.
    fn fill_error(&mut self, error: RecipientError) -> anyhow::Result<()> {
        match error {
            RecipientError::Stripe(error) if error.is_gone() => {
                self.stop(NOT_CONNECTED, "the account left the platform");
            }
            RecipientError::Stripe(error @ Error::Unreadable { .. }) => {
                self.stop(UNKNOWN, &error.to_string());
            }
            RecipientError::Stripe(error) if error.is_refusal() => {
                self.stop(UNKNOWN, &error.to_string());
            }
            error @ (RecipientError::Stripe(_) | RecipientError::Database(_)) => {
                let id = &self.account_id;
                return Err(error).with_context(|| format!("cannot look up account {id}"));
            }
        }
        Ok(())
    }

    fn stop(&mut self, reason: &'static str, explanation: &str) {
        self.reason = Some(reason);
        explanation.clone_into(&mut self.explanation);
    }
}

fn describe(line: &RecipientLine) -> [String; 3] {
    let RecipientLine { account_id, address, source, explanation, offers, .. } = line;
    let account_id = account_id.clone();
    let Some(address) = address else {
        return [account_id, "no email".to_owned(), explanation.clone()];
    };
    // With a usable address, what keeps the letter is something else.
    let kept = offers.iter().filter_map(|offer| {
        Some(format!("; {}: {}", offer.letter_state.as_ref()?, offer.letter_reason.as_ref()?))
    });
    let kept: String = kept.collect();
    [account_id, address.clone(), format!("{}{kept}", source.unwrap_or_default())]
}
