//! `bounce`: records a bounce or complaint that a mail server pipes in.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::out::{self, note};
use crate::config::{BounceSettings, environment};
use crate::feedback::{
    self, AppliedReport, FeedbackOutcome, FeedbackReport, MAX_BYTES, ParseReportError,
};
use crate::{database, telemetry};

/// One byte more than the maximum, so that a report that is too large is recognized.
const READ_LIMIT: u64 = MAX_BYTES as u64 + 1;
/// `EX_DATAERR` of sysexits.h: the mail server must not retry.
const BAD_INPUT: u8 = 65;
/// `EX_TEMPFAIL` of sysexits.h: the mail server keeps the report and retries.
const TRY_AGAIN: u8 = 75;

pub(super) async fn run(config: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let mut message = Vec::new();
    std::io::stdin()
        .take(READ_LIMIT)
        .read_to_end(&mut message)
        .context("cannot read the report from stdin")?;
    let report = match FeedbackReport::parse(&message) {
        Ok(report) => report,
        Err(error @ (ParseReportError::TooLarge | ParseReportError::TooComplex)) => {
            note!("error: {error}");
            return Ok(ExitCode::from(BAD_INPUT));
        }
        Err(error @ (ParseReportError::NotAReport | ParseReportError::NoLetter)) => {
            return Err(error.into());
        }
    };
    let settings = BounceSettings::load(config, &environment())?;
    telemetry::init(&settings.database.telemetry);
    Ok(match record(&settings, &report).await {
        Ok(taken) => {
            let outcome = serde_json::json!({
                "outcome": taken.outcome.as_str(),
                "letter_id": taken.letter_id,
                "offer_id": taken.offer_id,
            });
            let line = describe(&taken);
            out::ignore_closed(out::outcome(json, &outcome, format_args!("{line}")))?;
            ExitCode::SUCCESS
        }
        Err(error) => {
            out::print_error(&error);
            ExitCode::from(TRY_AGAIN)
        }
    })
}

async fn record(
    settings: &BounceSettings,
    report: &FeedbackReport,
) -> anyhow::Result<AppliedReport> {
    let database = database::open(&settings.database.database).await?;
    let now = database::now(&database.pool).await?;
    let taken = feedback::apply(&database.pool, report, settings.bcc.as_ref(), now).await;
    database.close().await;
    Ok(taken?)
}

fn describe(taken: &AppliedReport) -> String {
    let what = match taken.outcome {
        FeedbackOutcome::NoSuchLetter => "no email with this id was sent: ignored",
        FeedbackOutcome::OtherRecipient => {
            "about another recipient of the email, such as the blind copy: ignored"
        }
        FeedbackOutcome::Transient => "a temporary failure: ignored",
        FeedbackOutcome::NotSpam => "reported as not spam: ignored",
        FeedbackOutcome::Duplicate => "already recorded: ignored",
        FeedbackOutcome::Recorded => "recorded the bounce in the timeline",
        FeedbackOutcome::Bounced => "the email is bounced",
        FeedbackOutcome::OptedOut => "the account is opted out",
    };
    match &taken.offer_id {
        Some(offer) => format!("{offer}: {what}"),
        None => what.to_owned(),
    }
}
