//! The commands: a file each. Data goes to stdout, logs to stderr. Exit 0 done, 1 failed, 64 wrong usage or settings.

mod account;
mod address;
mod api_key;
mod bounce;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod email;
mod event;
mod job;
mod migrate;
mod offer;
mod opt_out;
mod out;
mod reconcile;
mod report;
mod serve;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{self, DatabaseOnly, environment};
use crate::database::Pool;
use crate::{database, telemetry};

/// `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

const AFTER_HELP: &str = "\
Settings come from the built-in defaults, from --config FILE, and from the environment, which wins.
Every key section.key is COURIER_SECTION__KEY; DATABASE_URL, STRIPE_API_KEY, STRIPE_WEBHOOK_SECRET,
SMTP_URL, PORT and RUST_LOG work too. Secrets can be given as ..._FILE, a path to read.

Exit status: 0 done, 1 failed, 64 wrong usage or settings.";

/// Delivers Stripe Capital financing offers to the merchants of a Connect platform, and proves it.
#[derive(Debug, Parser)]
#[command(name = "capital-courier", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// Read settings from this TOML file, over the built-in defaults
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole story on this machine: embedded Postgres, Stripe simulator, letters kept as files
    #[cfg(feature = "demo")]
    Demo(demo::Args),
    /// Take webhooks and do the work: send letters, tell Stripe
    Serve {
        /// Take webhooks only, and leave the work to other processes
        #[arg(long)]
        no_worker: bool,
    },
    /// Do the work without taking webhooks
    Worker,
    /// Bring the database's schema up to date
    Migrate,
    /// Check each thing that must be right, one line each, with its remedy
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Ask Stripe for offers and events that never reached us, now
    Reconcile {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Look at offers; send again or withdraw a letter
    Offer {
        #[command(subcommand)]
        action: offer::Action,
    },
    /// Look at events; have one read again
    Event {
        #[command(subcommand)]
        action: event::Action,
    },
    /// Look at jobs; have one done that was given up
    Job {
        #[command(subcommand)]
        action: job::Action,
    },
    /// See what letters look like; record that Stripe approved them; print the record of their signature
    Email {
        #[command(subcommand)]
        action: email::Action,
    },
    /// Make, list and revoke the keys of programs that call the service
    ApiKey {
        #[command(subcommand)]
        action: api_key::Action,
    },
    /// Keep accounts that want no letters about Capital
    OptOut {
        #[command(subcommand)]
        action: opt_out::Action,
    },
    /// See which addresses letters come back from; let letters go there again
    Address {
        #[command(subcommand)]
        action: address::Action,
    },
    /// Take in a report about a letter from stdin: it came back (RFC 3464), or was called spam (RFC 5965)
    ///
    /// For a mail server's pipe. Ends with 75 where the report is to be tried again later, because the database is away or the
    /// letter is still being sent; with 1 where it is no report; with 65 where it was not read, because it is larger than 1 MB or
    /// nests deeper than any report.
    Bounce,
    /// Take out what there is of an account
    Account {
        #[command(subcommand)]
        action: account::Action,
    },
    /// What was sent to whom, and what came of the financings, as CSV
    Report {
        #[command(subcommand)]
        action: report::Action,
    },
    /// Print every setting with its default and what it is for, as TOML
    Settings,
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // `--help` and `--version` come this way too, and are no errors.
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    match cli.run() {
        Ok(code) => code,
        // `| head` has what it wants, as with other tools that do not leave this to SIGPIPE.
        Err(error) if out::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            out::failure(&error);
            ExitCode::from(if error.is::<config::Errors>() { USAGE } else { 1 })
        }
    }
}

impl Cli {
    fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.config.as_deref();
        match self.command {
            #[cfg(feature = "demo")]
            Command::Demo(args) => block_on(demo::run(args)),
            Command::Serve { no_worker } => block_on(serve::serve(config, no_worker)),
            Command::Worker => block_on(serve::work(config)),
            Command::Migrate => block_on(migrate::run(config)),
            Command::Doctor { json } => block_on(doctor::run(config, json)),
            Command::Reconcile { json } => block_on(reconcile::run(config, json)),
            Command::Offer { action } => block_on(offer::run(config, action)),
            Command::Event { action } => block_on(event::run(config, action)),
            Command::Job { action } => block_on(job::run(config, action)),
            Command::Email { action } => block_on(email::run(config, action)),
            Command::ApiKey { action } => block_on(api_key::run(config, action)),
            Command::OptOut { action } => block_on(opt_out::run(config, action)),
            Command::Address { action } => block_on(address::run(config, action)),
            Command::Bounce => block_on(bounce::run(config)),
            Command::Account { action } => block_on(account::run(config, action)),
            Command::Report { action } => block_on(report::run(config, action)),
            Command::Settings => {
                out::stdout().write_all(crate::config::DEFAULTS.as_bytes())?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    // To drop it would wait for blocking work that nobody waits for any more, such as the check of the wording.
    runtime.shutdown_background();
    done
}

/// Opens the database for a command that needs nothing else, and closes it.
async fn with_database(
    config: Option<&Path>,
    work: impl AsyncFnOnce(&Pool) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let settings = DatabaseOnly::load(config, &environment())?;
    telemetry::init(&settings.telemetry);
    let database = database::open(&settings.database).await?;
    let done = work(&database.pool).await;
    database.close().await;
    done.map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_help_says_what_there_is() {
        let mut command = Cli::command();
        command.build();
        let mut help = command.render_long_help().to_string();
        for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
            let (name, text) = (sub.get_name().to_owned(), sub.render_long_help().to_string());
            help.extend(["\n----- ", &name, "\n", &text]);
            for inner in sub.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
                let text = inner.render_long_help().to_string();
                help.extend(["\n----- ", &name, " ", inner.get_name(), "\n", &text]);
            }
        }
        insta::assert_snapshot!(help);
    }
}
