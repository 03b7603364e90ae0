//! The commands, one file or folder each.
//!
//! Data goes to stdout, logs and notes to stderr. Exit status 0: success, 1: failure, 64: invalid
//! usage or settings; `bounce` adds 65 and 75, a second signal 143.

mod account;
mod address;
mod api_key;
mod attention;
mod bounce;
mod completions;
mod contact;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod email;
mod endpoint;
mod event;
mod healthcheck;
mod instruction;
mod job;
mod letter;
mod migrate;
mod offer;
mod opt_out;
mod out;
mod pause;
mod progress;
mod reconcile;
mod records;
mod report;
mod search;
mod serve;
mod settle;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{self, DatabaseOnly, environment};
use crate::database::Pool;
use crate::{database, telemetry};

/// `EX_USAGE` of sysexits.h.
const USAGE: u8 = 64;

/// The container's build, which has neither the embedded Postgres nor the simulated Stripe.
#[cfg(not(feature = "demo"))]
const NO_DEMO: &str = "error: this build has no demo: install Rust and run `cargo run -- demo` in \
                       a checkout of the source";

const AFTER_HELP: &str = "\
Settings are read from the built-in defaults, from the file given with --config, and from the
environment; the later source overrides the earlier one. The variable for the key section.key is
COURIER_SECTION__KEY. DATABASE_URL, STRIPE_API_KEY, STRIPE_WEBHOOK_SECRET, SMTP_URL, PORT and
RUST_LOG are accepted too. The path in a variable that ends in _FILE names a file with a secret.

Exit status: 0 success, 1 failure, 64 invalid usage or settings, 143 stopped by a second signal;
bounce has others.";

/// Emails Stripe Capital offers to the merchants of a Connect platform, tells Stripe, and keeps the
/// evidence
#[derive(Debug, Parser)]
#[command(name = "capital-courier", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    /// Read settings from this TOML file, which overrides the built-in defaults
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try everything on this machine: a simulated Stripe, a mailbox, an embedded Postgres
    #[cfg(feature = "demo")]
    Demo(demo::Args),
    /// Not in this build: run `cargo run -- demo` in a checkout of the source
    #[cfg(not(feature = "demo"))]
    #[command(hide = true)]
    Demo {
        #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
        _ignored: Vec<String>,
    },
    /// Receive webhooks and process jobs: send emails, mark offers as delivered at Stripe
    Serve {
        /// Receive webhooks only; other processes run the jobs
        #[arg(long)]
        no_worker: bool,
    },
    /// Process jobs without receiving webhooks
    Worker,
    /// Apply the database migrations
    Migrate {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check the settings and every dependency; print a remedy for each problem
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List what waits for a person: why, since when, and what resolves it
    Attention(attention::Args),
    /// Check or create the webhook endpoint at Stripe
    Endpoint {
        #[command(subcommand)]
        action: endpoint::Action,
    },
    /// Ask Stripe for offers and events that no webhook delivered, now
    Reconcile {
        /// Also list every offer of every status, as the service does once a day; resumes an
        /// interrupted listing
        #[arg(long)]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List and show offers; resend or withdraw an email
    Offer {
        #[command(subcommand)]
        action: offer::Action,
    },
    /// Find what an id or an address belongs to
    ///
    /// Searches offers, accounts, emails, events, jobs and transactions by id, emails by Message-ID
    /// and by address, and offers by the id of Stripe's request. Names of merchants are not stored.
    Search {
        /// An id, an email address or its SHA-256, or a Message-ID
        term: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List and show emails; release or withdraw held ones, one or many
    Letter {
        #[command(subcommand)]
        action: letter::Action,
    },
    /// Set, clear and show the address for an account's emails
    Contact {
        #[command(subcommand)]
        action: contact::Action,
    },
    /// Stop sending: all emails, those for a market, or those of a kind; list pauses
    ///
    /// Emails in scope wait, on every replica, until `resume`; nothing is lost. Webhooks are
    /// accepted, offers that end withdraw their emails, and opt-outs count. Emails that are being
    /// handed to the relay at that moment are finished. Pausing twice changes nothing.
    Pause(pause::PauseArgs),
    /// End a pause: the emails that waited are sent at the usual rate
    ///
    /// Ends the pause of exactly this scope. Exit status 0 if there is none.
    Resume(pause::ResumeArgs),
    /// List, show and replay events
    Event {
        #[command(subcommand)]
        action: event::Action,
    },
    /// List jobs; retry dead jobs
    Job {
        #[command(subcommand)]
        action: job::Action,
    },
    /// Preview and check emails; record Stripe's approval; list who would get an email; print the
    /// DKIM record
    Email {
        #[command(subcommand)]
        action: email::Action,
    },
    /// Create, list and revoke API keys
    ApiKey {
        #[command(subcommand)]
        action: api_key::Action,
    },
    /// Manage the accounts that opted out of emails about Capital
    OptOut {
        #[command(subcommand)]
        action: opt_out::Action,
    },
    /// List suppressed addresses; allow emails to an address again
    Address {
        #[command(subcommand)]
        action: address::Action,
    },
    /// Record a bounce (RFC 3464) or a spam complaint (RFC 5965) from stdin
    ///
    /// Intended for the pipe of a mail server. Exit status: 75 if the report must be retried later,
    /// because the database is unavailable or the email is still being sent; 1 if the input is not
    /// a report; 65 if it was not read, because it is larger than 1 MB or too deeply nested.
    Bounce {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show and export what is stored about an account; erase its personal data
    Account {
        #[command(subcommand)]
        action: account::Action,
    },
    /// Export emails and financing transactions as CSV
    Report {
        #[command(subcommand)]
        action: report::Action,
    },
    /// Exit with 0 if the service on this machine is ready, otherwise with 1: for a container's
    /// HEALTHCHECK
    Healthcheck,
    /// Print every setting with its default and a description, as TOML
    Settings {
        /// Print JSON, without the descriptions
        #[arg(long)]
        json: bool,
    },
    /// Print the completions of a shell
    ///
    /// For bash: `capital-courier completions bash > /etc/bash_completion.d/capital-courier`
    Completions { shell: Shell },
    /// Print the manual page, with all commands: `capital-courier man | man -l -`
    Man,
}

/// Runs the command in the arguments of the process.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // clap returns `--help` and `--version` as errors that go to stdout.
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    match cli.run() {
        Ok(code) => code,
        // `| head` has read enough. Other tools end by SIGPIPE here, which Rust ignores.
        Err(error) if out::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            out::print_error(&error);
            if !error.is::<config::Errors>() {
                return ExitCode::FAILURE;
            }
            out::note!("`capital-courier settings` describes every setting");
            ExitCode::from(USAGE)
        }
    }
}

impl Cli {
    fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.config.as_deref();
        match self.command {
            #[cfg(feature = "demo")]
            Command::Demo(args) => block_on(demo::run(args)),
            #[cfg(not(feature = "demo"))]
            Command::Demo { .. } => {
                out::note!("{NO_DEMO}");
                Ok(ExitCode::from(USAGE))
            }
            Command::Serve { no_worker } => block_on(serve::serve(config, no_worker)),
            Command::Worker => block_on(serve::work(config)),
            Command::Migrate { json } => block_on(migrate::run(config, json)),
            Command::Doctor { json } => block_on(doctor::run(config, json)),
            Command::Endpoint { action } => block_on(endpoint::run(config, action)),
            Command::Reconcile { all, json } => block_on(reconcile::run(config, all, json)),
            Command::Email { action } => block_on(email::run(config, action)),
            Command::Bounce { json } => block_on(bounce::run(config, json)),
            Command::Attention(args) => with_database(config, async |db| args.run(db).await),
            Command::Offer { action } => with_database(config, async |db| action.run(db).await),
            Command::Search { term, json } => {
                with_database(config, async |db| search::run(db, &term, json).await)
            }
            Command::Letter { action } => with_database(config, async |db| action.run(db).await),
            Command::Contact { action } => with_database(config, async |db| action.run(db).await),
            Command::Pause(args) => with_database(config, async |db| args.run(db).await),
            Command::Resume(args) => with_database(config, async |db| args.run(db).await),
            Command::Event { action } => with_database(config, async |db| action.run(db).await),
            Command::Job { action } => with_database(config, async |db| action.run(db).await),
            Command::ApiKey { action } => with_database(config, async |db| action.run(db).await),
            Command::OptOut { action } => with_database(config, async |db| action.run(db).await),
            Command::Address { action } => with_database(config, async |db| action.run(db).await),
            Command::Account { action } => with_database(config, async |db| action.run(db).await),
            Command::Report { action } => with_database(config, async |db| action.run(db).await),
            Command::Healthcheck => block_on(healthcheck::run(config)),
            Command::Settings { json } => {
                if json {
                    out::json(&config::defaults_json())?;
                } else {
                    out::stdout().write_all(config::DEFAULTS.as_bytes())?;
                }
                Ok(ExitCode::SUCCESS)
            }
            Command::Completions { shell } => completions::print(Self::command(), shell),
            Command::Man => completions::print_manual(Self::command()),
        }
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // Dropping the runtime would wait for blocking tasks whose result is no longer needed, such as
    // the check of the wording.
    runtime.shutdown_background();
    result
}

/// Runs a command that requires the database alone.
fn with_database(
    config: Option<&Path>,
    command: impl AsyncFnOnce(&Pool) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    block_on(async {
        let settings = DatabaseOnly::load(config, &environment())?;
        telemetry::init(&settings.telemetry);
        let database = database::open(&settings.database).await?;
        let result = command(&database.pool).await;
        database.close().await;
        result.map(|()| ExitCode::SUCCESS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The help of a command and of all commands below it.
    fn append_help(command: &mut clap::Command, path: &str, help: &mut String) {
        help.push_str(&command.render_long_help().to_string());
        for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name());
            help.extend(["\n-----", &path, "\n"]);
            append_help(sub, &path, help);
        }
    }

    #[test]
    fn the_help_is_complete() {
        let mut command = Cli::command();
        command.build();
        let mut help = String::new();
        append_help(&mut command, "", &mut help);
        insta::assert_snapshot!(help);
    }
}
