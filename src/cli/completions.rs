//! `completions` and `man`: what a package installs next to the binary. Both follow from the
//! definition of the commands.

use std::io::{self, Write};
use std::process::ExitCode;

use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::out;

pub(super) fn print(mut command: clap::Command, shell: Shell) -> anyhow::Result<ExitCode> {
    let name = command.get_name().to_owned();
    // Into memory first: a closed pipe would make the generator panic.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    out::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the page of the command and then those of its subcommands, as one document.
pub(super) fn print_manual(mut command: clap::Command) -> anyhow::Result<ExitCode> {
    // Without the `help` of each group, which would double the page.
    command = command.disable_help_subcommand(true);
    command.build();
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    append_commands(&command, &mut page)?;
    out::stdout().write_all(&page)?;
    Ok(ExitCode::SUCCESS)
}

fn append_commands(command: &clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    for sub in command.get_subcommands() {
        let name = sub.get_bin_name().unwrap_or_else(|| sub.get_name()).to_uppercase();
        writeln!(page, ".SH \"{name}\"")?;
        let man = Man::new(sub.clone());
        man.render_description_section(page)?;
        man.render_synopsis_section(page)?;
        if sub.get_arguments().next().is_some() {
            man.render_options_section(page)?;
        }
        append_commands(sub, page)?;
    }
    Ok(())
}
