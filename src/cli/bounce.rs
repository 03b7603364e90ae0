//! `bounce`: takes in a delivery report, as a mail server pipes it.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::clock::Clock;
use crate::flow::email::{Bounced, Report, bounce};

/// Reports carry the letter that came back, some 50 KB; anything near this is no report.
const MOST_BYTES: u64 = 10 * 1024 * 1024;

pub(super) async fn run(config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut message = Vec::new();
    std::io::stdin()
        .take(MOST_BYTES)
        .read_to_end(&mut message)
        .context("cannot read the report from stdin")?;
    let report = Report::parse(&message)?;
    super::over_the_database(config, async |db| {
        let mut tx = db.begin().await?;
        let bounced = bounce(&mut tx, &report, Clock::system().now()).await?;
        tx.commit().await?;
        println!("{}", said(bounced));
        Ok(())
    })
    .await
}

fn said(bounced: Bounced) -> &'static str {
    match bounced {
        Bounced::Yes => "the letter came back: it is bounced now",
        Bounced::NotForGood => "not for good: nothing changes",
        Bounced::SomebodyElse => {
            "about somebody else who had the letter, such as the blind copy: nothing changes"
        }
        Bounced::NoSuchLetter => "no letter that was sent has this Message-ID, or it is bounced already",
    }
}
