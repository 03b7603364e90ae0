//! `email`: see what letters look like, and record that Stripe approved them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};

use crate::app;
use crate::clock::Clock;
use crate::config::{Needs, Settings, environment};
use crate::database;
use crate::flow::email::copy::{self, Approval, Disclaimers};
use crate::flow::email::write::{Writer, sample};
use crate::flow::email::{Facts, FinancingType};
use crate::stripe::AccountId;
use crate::telemetry;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Write every letter with sample data into a folder, with a cover page: what a compliance team submits
    Preview {
        /// The folder; it is made where it is missing
        dir: PathBuf,
    },
    /// Record that Stripe approved the letters for a market as they are now, and send those that were held for want of it
    Approve {
        /// Two letters, as Stripe counts markets: US, GB, DE, FR, AU, CA
        #[arg(long)]
        market: String,
        /// Stripe's reference of the approval
        #[arg(long)]
        reference: String,
        /// For this disclaimer alone: needed for one that Stripe added after this version, whose market nobody knows here
        #[arg(long, value_name = "NAME")]
        variant: Option<String>,
        /// Who records it
        #[arg(long, value_name = "NAME", default_value = "operator")]
        by: String,
    },
}

pub(super) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(config, &environment(), Needs::WorkOnly)?;
    telemetry::init(&settings.telemetry);
    let (writer, disclaimers) = (app::writer(&settings.email)?, app::disclaimers(&settings.email)?);
    match action {
        Action::Preview { dir } => preview(&dir, &settings, &writer, &disclaimers)?,
        Action::Approve { market, reference, variant, by } => {
            let market = market.to_uppercase();
            let approval = Approval { market: &market, reference: &reference, approved_by: &by };
            let hashes = wordings(&writer, &disclaimers, &market, variant.as_deref());
            ensure!(
                !hashes.is_empty(),
                "there is no such disclaimer for {market}: put its wording into email.disclaimers_dir, as <variant>/en.txt"
            );
            approve(&settings, &hashes, &approval).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The hashes of the operator's wordings for a market, or of one of them by its name.
fn wordings(writer: &Writer, disclaimers: &Disclaimers, market: &str, variant: Option<&str>) -> Vec<String> {
    let fits = |found: &&copy::Disclaimer| {
        let is_of_market = found.market.as_deref().is_none_or(|of| of == market);
        let is_meant = variant.map_or(found.market.is_some(), |name| found.variant == name);
        !found.is_sample && is_of_market && is_meant
    };
    disclaimers.all().iter().filter(fits).map(|found| writer.copy_hash(found)).collect()
}

async fn approve(settings: &Settings, hashes: &[String], approval: &Approval<'_>) -> anyhow::Result<()> {
    let database = database::open(&settings.database).await?;
    let mut tx = database.pool.begin().await?;
    let released = copy::approve(&mut tx, hashes, approval, Clock::system().now()).await?;
    tx.commit().await?;
    database.close().await;
    println!("approved for {}: {}", approval.market, hashes.join(", "));
    println!("{released} letters that were held are tried again");
    Ok(())
}

const KINDS: [(FinancingType, &str); 3] = [
    (FinancingType::Loan, "loan"),
    (FinancingType::CashAdvance, "cash-advance"),
    (FinancingType::Unspecified, "unspecified"),
];

fn preview(
    dir: &Path,
    settings: &Settings,
    writer: &Writer,
    disclaimers: &Disclaimers,
) -> anyhow::Result<()> {
    let place = || format!("cannot write into {}", dir.display());
    std::fs::create_dir_all(dir).with_context(place)?;
    // As the letters have it: without an address for the public there is no link.
    let nobody: AccountId = "acct_sample".parse()?;
    let unsubscribe_url = settings.email.links.as_ref().map(|links| links.link(&nobody));
    let mut rows = String::new();
    for disclaimer in disclaimers.all() {
        for (financing_type, kind) in KINDS {
            let facts = Facts {
                livemode: true,
                disclaimer: disclaimer.paragraphs.clone(),
                unsubscribe_url: unsubscribe_url.clone(),
                ..sample(financing_type, Some("Jenny's Bakery".to_owned()))
            };
            let letter = writer.write(&facts)?;
            let name = format!("{}-{kind}", disclaimer.variant);
            std::fs::write(dir.join(format!("{name}.html")), &letter.html).with_context(place)?;
            let text = format!("Subject: {}\n\n{}", letter.subject, letter.text);
            std::fs::write(dir.join(format!("{name}.txt")), text).with_context(place)?;
            writeln!(
                rows,
                "<tr><td>{}</td><td>{}</td><td>{kind}</td><td><code>{}</code></td><td>{}</td>\
                 <td><a href=\"{name}.html\">HTML</a> <a href=\"{name}.txt\">text</a></td></tr>",
                disclaimer.market.as_deref().unwrap_or("?"),
                disclaimer.variant,
                writer.copy_hash(&disclaimer),
                if disclaimer.is_sample { "sample: test mode only" } else { "yours" },
            )?;
        }
    }
    let cover = include_str!("../../templates/pages/preview.html").replace("{{ rows }}", &rows);
    std::fs::write(dir.join("index.html"), cover).with_context(place)?;
    println!("{}", dir.join("index.html").display());
    Ok(())
}
