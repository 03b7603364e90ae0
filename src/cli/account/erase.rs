//! `account erase`: removes personal data and keeps the evidence.

use std::io::Write;

use crate::cli::out::{self, say};
use crate::consent::opt_outs;
use crate::database::Pool;
use crate::letters;
use crate::maintenance::retention::Erased;
use crate::operators::{Instruction, acts};
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
    by: &Instruction,
    account: &AccountId,
    with_proof: bool,
    json: bool,
) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    let mut erased = acts::erase_account(&mut tx, by, account.as_str(), with_proof).await?;
    erased.sessions = portal::end_sessions(&mut *tx, account.as_str()).await?;
    let messages = letters::evidence::store::count_messages(&mut *tx, account.as_str()).await?;
    tx.commit().await?;
    if json {
        let mut outcome = serde_json::to_value(erased)?;
        outcome["account_id"] = account.as_str().into();
        outcome["outcome"] = "erased".into();
        outcome["messages_kept"] = messages.into();
        return out::json(&outcome);
    }
    let Erased { letters, events, contacts, evidence, sessions, skipped } = erased;
    say!(
        "{account}: erased emails: {letters}, events: {events}, contact addresses: {contacts}, \
         messages in the evidence: {evidence}, sessions: {sessions}"
    )?;
    if messages > 0 {
        say!(
            "messages kept in the evidence, with address and content: {messages} \
             (`--with-proof` erases them)"
        )?;
    }
    if skipped > 0 {
        say!("skipped emails that are being sent: {skipped}; run this again later")?;
    }
    if opt_outs::store::is_opted_out(db, account.as_str()).await? {
        say!("the account is opted out")?;
    } else {
        say!("the account is not opted out: `capital-courier opt-out add {account}` stops emails")?;
    }
    Ok(())
}
