//! Who runs a command, and why: recorded with every act.

use std::io::{IsTerminal, Write};

use anyhow::ensure;

use crate::config::environment;
use crate::consent::opt_outs::Note;
use crate::operators::{Channel, Instruction};

/// `--reason`, for every command that changes something.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ReasonArg {
    /// The reason, for the log of operators' acts; a terminal asks for it
    #[arg(long = "reason", visible_alias = "why", value_name = "TEXT")]
    reason: Option<Note>,
}

/// The same where `--reason` selects emails by theirs.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct WhyArg {
    /// The reason, for the log of operators' acts; a terminal asks for it
    #[arg(long, value_name = "TEXT")]
    why: Option<Note>,
}

impl ReasonArg {
    /// Asks for the reason if it is missing and a person can answer.
    pub(super) fn instruction(self) -> anyhow::Result<Instruction> {
        match self.reason {
            None if std::io::stdin().is_terminal() => Ok(because(ask()?)),
            given => Ok(instruction(given)),
        }
    }

    /// As [`Self::instruction`], for what must not be done without a reason.
    pub(super) fn required(self) -> anyhow::Result<Instruction> {
        let instruction = self.instruction()?;
        ensure!(instruction.reason.is_some(), "this needs a reason: give --reason TEXT");
        Ok(instruction)
    }

    /// For a command that reads its input from stdin.
    pub(super) fn without_asking(self) -> Instruction {
        instruction(self.reason)
    }
}

impl WhyArg {
    /// As [`ReasonArg::instruction`].
    pub(super) fn instruction(self) -> anyhow::Result<Instruction> {
        ReasonArg { reason: self.why }.instruction()
    }
}

pub(super) fn because(reason: Note) -> Instruction {
    instruction(Some(reason))
}

fn instruction(reason: Option<Note>) -> Instruction {
    Instruction { operator: operator(), channel: Channel::CommandLine, reason }
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
