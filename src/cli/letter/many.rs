//! `letter release` and `letter withdraw` for many emails: counted and confirmed first.

use std::io::{IsTerminal, Write};

use anyhow::ensure;
use serde_json::json;

use super::{ActArgs, Which};
use crate::cli::out;
use crate::cli::progress::Progress;
use crate::database::Pool;
use crate::letters::State;
use crate::letters::listing::LetterFilter;
use crate::operators::letters::{self, Change};

pub(super) async fn release(db: &Pool, which: &Which, act: ActArgs) -> anyhow::Result<()> {
    change(db, which, act, (Change::Release, "release", "queued")).await
}

pub(super) async fn withdraw(db: &Pool, which: &Which, act: ActArgs) -> anyhow::Result<()> {
    change(db, which, act, (Change::Withdraw, "withdraw", "withdrawn")).await
}

async fn change(
    db: &Pool,
    which: &Which,
    act: ActArgs,
    (change, verb, outcome): (Change, &str, &str),
) -> anyhow::Result<()> {
    let held = LetterFilter {
        state: Some(State::Held),
        reason: which.reason.as_deref(),
        limit: i64::MAX,
        ..LetterFilter::default()
    };
    let found = letters::list(db, &held, which.market().as_deref()).await?;
    let matching = found.len();
    ensure!(matching > 0, "no held email matches: see `letter list --state held`");
    ensure!(act.yes || confirm(verb, matching)?, "nothing was changed");
    let by = act.why.instruction()?;
    let progress = Progress::bar("emails", matching);
    let changed =
        letters::change_all(db, &by, change, found, |letters| progress.advance(letters)).await?;
    drop(progress);
    let skipped = matching - changed;
    out::outcome(
        act.json,
        &json!({"outcome": outcome, "letters": changed, "skipped": skipped}),
        format_args!("{outcome}: {changed} emails; {skipped} had changed meanwhile"),
    )
}

/// Without a terminal only `--yes` confirms.
fn confirm(verb: &str, letters: usize) -> anyhow::Result<bool> {
    ensure!(
        std::io::stdin().is_terminal(),
        "{letters} emails match: confirm with --yes to {verb} them"
    );
    let mut stderr = std::io::stderr();
    write!(stderr, "{letters} emails match. Type `yes` to {verb} them: ")?;
    stderr.flush()?;
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    Ok(typed.trim() == "yes")
}
