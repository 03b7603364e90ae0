//! `bounce`: takes in a report about a letter, as a mail server pipes it.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::out::{self, note, say};
use crate::config::{BounceSettings, environment};
use crate::feedback::{self, Applied, FeedbackOutcome, MAX_BYTES, NoReport, Report};
use crate::{database, telemetry};

/// One byte more than is read, so that a report that is too large is seen to be.
const READ_AT_MOST: u64 = MAX_BYTES as u64 + 1;
/// `EX_DATAERR` of sysexits.h: the same input would be refused again.
const BAD_INPUT: u8 = 65;
/// `EX_TEMPFAIL` of sysexits.h: a mail server that pipes keeps the report and tries again.
const LATER: u8 = 75;

pub(super) async fn run(config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut message = Vec::new();
    std::io::stdin()
        .take(READ_AT_MOST)
        .read_to_end(&mut message)
        .context("cannot read the report from stdin")?;
    let report = match Report::parse(&message) {
        Ok(report) => report,
        Err(error @ (NoReport::TooLarge | NoReport::TooComplex)) => {
            note!("error: {error}");
            return Ok(ExitCode::from(BAD_INPUT));
        }
        Err(error @ (NoReport::NotAReport | NoReport::NoLetter)) => return Err(error.into()),
    };
    let settings = BounceSettings::load(config, &environment())?;
    telemetry::init(&settings.database.telemetry);
    Ok(match take_in(&settings, &report).await {
        Ok(taken) => {
            out::as_far_as_read(say!("{}", said(&taken)).map_err(Into::into))?;
            ExitCode::SUCCESS
        }
        Err(error) => {
            out::failure(&error);
            ExitCode::from(LATER)
        }
    })
}

async fn take_in(settings: &BounceSettings, report: &Report) -> anyhow::Result<Applied> {
    let database = database::open(&settings.database.database).await?;
    let now = database::now(&database.pool).await?;
    let taken = feedback::apply(&database.pool, report, settings.bcc.as_ref(), now).await;
    database.close().await;
    Ok(taken?)
}

fn said(taken: &Applied) -> String {
    let what = match taken.outcome {
        FeedbackOutcome::NoSuchLetter => "no letter of ours that was sent: nothing changes",
        FeedbackOutcome::SomebodyElse => {
            "about somebody else who had the letter, such as the blind copy: nothing changes"
        }
        FeedbackOutcome::Transient => "not for good: nothing changes",
        FeedbackOutcome::NotSpam => "said to be no spam: nothing changes",
        FeedbackOutcome::Known => "known already: nothing changes",
        FeedbackOutcome::Noted => "the letter came back: its timeline says so",
        FeedbackOutcome::Bounced => "the letter came back: it is bounced now",
        FeedbackOutcome::OptedOut => "the account gets no more letters",
    };
    match &taken.offer_id {
        Some(offer) => format!("{offer}: {what}"),
        None => what.to_owned(),
    }
}
