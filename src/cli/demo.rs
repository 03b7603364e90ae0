//! `demo`: the service with everything around it simulated, on one address.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::NonEmptyStringValueParser;
use url::Url;

use crate::brand::{Accent, BadColor};
use crate::cli::out::{self, say};
use crate::config::environment;
use crate::demo::{self, Screen};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Stop once the offers are delivered; exit status 0 if all were
    #[arg(long)]
    once: bool,
    /// The folder for the database, the emails and the state of the simulated Stripe
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    dir: PathBuf,
    /// The address to open in a browser
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8025")]
    listen: SocketAddr,
    /// Do not open a browser
    #[arg(long)]
    no_open: bool,
    /// The name of your program, in emails and pages
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    brand: Option<String>,
    /// The color of buttons and bars, as #rrggbb
    #[arg(long, value_name = "COLOR", value_parser = color)]
    color: Option<String>,
    /// Your logo, a PNG, JPEG or GIF file
    #[arg(long, value_name = "FILE")]
    logo: Option<PathBuf>,
    /// Your logo for dark backgrounds, a PNG, JPEG or GIF file
    #[arg(long, value_name = "FILE")]
    logo_dark: Option<PathBuf>,
    /// Send the emails to this relay, in the format of `SMTP_URL`, instead of the demo's mailbox
    #[arg(long, value_name = "URL")]
    relay: Option<String>,
}

/// Lines go to stdout; progress to the terminal, if stderr is one.
struct Terminal {
    opens: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let screen = Arc::new(Terminal { opens: !args.no_open && !args.once });
    let options = demo::Options {
        once: args.once,
        dir: args.dir,
        listen: args.listen,
        relay: args.relay,
        brand: args.brand,
        color: args.color,
        logo: args.logo,
        logo_dark: args.logo_dark,
        log: environment().remove("RUST_LOG"),
    };
    let delivered = Box::pin(demo::run(options, screen)).await?;
    Ok(if delivered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn color(text: &str) -> Result<String, BadColor> {
    text.parse::<Accent>().map(|_| text.to_owned())
}

impl Screen for Terminal {
    fn progress(&self, text: &str) {
        let mut err = std::io::stderr();
        if err.is_terminal() {
            // Erases the line, and leaves the cursor at its beginning for the next text.
            let _ = write!(err, "\r\x1b[2K{text}");
            let _ = err.flush();
        }
    }

    fn line(&self, text: &str) {
        self.progress("");
        // The reader of the output may have closed it; the demo goes on in the browser.
        let _ = say!("{text}");
    }

    fn open(&self, address: &Url) {
        if self.opens && out::is_on_a_desktop(&environment()) {
            // Without a browser there is the printed address.
            let _ = open::that_detached(address.as_str());
        }
    }
}
