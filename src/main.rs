//! `capital-courier`: see the library for everything but the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    capital_courier::cli::run()
}
