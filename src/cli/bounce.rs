//! `bounce`: takes in a report about a letter, as a mail server pipes it.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::config::{ForReports, environment};
use crate::flow::email::Report;
use crate::flow::email::report::{Outcome, Taken, take};
use crate::{database, telemetry};

/// Reports carry the letter that they are about, some 50 KB; anything near this is no report.
const MOST_BYTES: u64 = 10 * 1024 * 1024;
/// `EX_TEMPFAIL` of sysexits.h: a mail server that pipes keeps the report and tries again.
const LATER: u8 = 75;

pub(super) async fn run(config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut message = Vec::new();
    std::io::stdin()
        .take(MOST_BYTES)
        .read_to_end(&mut message)
        .context("cannot read the report from stdin")?;
    let report = Report::parse(&message)?;
    let settings = ForReports::load(config, &environment())?;
    telemetry::init(&settings.database.telemetry);
    Ok(match take_in(&settings, &report).await {
        Ok(taken) => {
            println!("{}", said(&taken));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(LATER)
        }
    })
}

async fn take_in(settings: &ForReports, report: &Report) -> anyhow::Result<Taken> {
    let database = database::open(&settings.database.database).await?;
    let now = database::now(&database.pool).await?;
    let taken = take(&database.pool, report, settings.copy.as_ref(), now).await;
    database.close().await;
    Ok(taken?)
}

fn said(taken: &Taken) -> String {
    let what = match taken.outcome {
        Outcome::NoSuchLetter => "no letter of ours that was sent: nothing changes",
        Outcome::SomebodyElse => {
            "about somebody else who had the letter, such as the blind copy: nothing changes"
        }
        Outcome::NotForGood => "not for good: nothing changes",
        Outcome::NotSpam => "said to be no spam: nothing changes",
        Outcome::Known => "known already: nothing changes",
        Outcome::Noted => "the letter came back: its timeline says so",
        Outcome::Bounced => "the letter came back: it is bounced now",
        Outcome::OptedOut => "the account gets no more letters",
    };
    match &taken.offer_id {
        Some(offer) => format!("{offer}: {what}"),
        None => what.to_owned(),
    }
}
