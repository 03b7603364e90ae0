//! `account erase`: removes personal data and keeps the evidence.

use std::io::Write;

use crate::cli::out::{self, say};
use crate::database::{self, Pool};
use crate::letters;
use crate::maintenance::retention::{self, Erased};
use crate::stripe::AccountId;
use crate::web::portal;

pub(super) fn confirm(account: &AccountId, with_proof: bool) -> std::io::Result<bool> {
    let what =
        if with_proof { "personal data and the messages in evidence" } else { "personal data" };
    let mut stderr = std::io::stderr();
    write!(stderr, "Erase {what} of {account}? This cannot be undone. Type the account id: ")?;
    stderr.flush()?;
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    Ok(typed.trim() == account.as_str())
}

pub(super) async fn erase(
    db: &Pool,
    account: &AccountId,
    with_proof: bool,
    json: bool,
) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let mut erased = retention::erase_account(&mut tx, account.as_str(), with_proof, now).await?;
    erased.sessions = portal::end_sessions(&mut *tx, account.as_str()).await?;
    let messages = letters::evidence::store::count_messages(&mut *tx, account.as_str()).await?;
    tx.commit().await?;
    if json {
        return out::json(&erased);
    }
    let Erased { letters, events, contacts, evidence, sessions, skipped } = erased;
    say!(
        "{account}: erased {letters} emails, {events} events, {contacts} contact addresses, \
         {evidence} pieces of evidence, {sessions} sessions"
    )?;
    if messages > 0 {
        say!(
            "{messages} messages are kept as evidence, with address and content: `--with-proof` \
             erases them"
        )?;
    }
    if skipped > 0 {
        say!("skipped {skipped} emails that are being sent: run this again later")?;
    }
    say!("the account is not opted out: `capital-courier opt-out add {account}` stops emails")?;
    Ok(())
}
