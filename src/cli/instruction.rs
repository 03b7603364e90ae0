//! Who runs a command, and why: recorded with every act.

use std::io::{IsTerminal, Write};

use crate::config::environment;
use crate::consent::opt_outs::Note;
use crate::operators::{Channel, Instruction};

/// `--reason`, for every command that changes something.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ReasonArg {
    /// Why, for the log of acts; asked for on a terminal
    #[arg(long = "reason", value_name = "TEXT")]
    reason: Option<Note>,
}

impl ReasonArg {
    /// Asks for the reason if it is missing and a person can answer.
    pub(super) fn instruction(self) -> anyhow::Result<Instruction> {
        let reason = match self.reason {
            None if std::io::stdin().is_terminal() => Some(ask()?),
            given => given,
        };
        Ok(Instruction { operator: operator(), channel: Channel::CommandLine, reason })
    }
}

/// The login, of the person before `sudo`.
pub(super) fn operator() -> String {
    let environment = environment();
    let name = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| environment.get(*name).filter(|value| !value.is_empty()));
    name.cloned().unwrap_or_else(|| "unknown".to_owned())
}

fn ask() -> anyhow::Result<Note> {
    let mut stderr = std::io::stderr();
    write!(stderr, "Why? (for the log of acts) ")?;
    stderr.flush()?;
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    Ok(typed.parse()?)
}
