//! Imports a list of opt-outs.

use chrono::{DateTime, Utc};

use super::Instruction;
use super::actions::Action;
use super::acts::ActError;
use crate::consent::opt_outs::{self, OptOutOutcome, OptOutRequest, OptOutSource};
use crate::database::{self, Pool};
use crate::letters::store::lock_waiting_of_accounts;

/// A line of the list.
#[derive(Clone, Copy, Debug)]
pub struct ImportedOptOut<'a> {
    pub account_id: &'a str,
    pub note: Option<&'a str>,
    /// `None`: now.
    pub since: Option<DateTime<Utc>>,
}

/// Opts the accounts out, all or none. Calls `progress` after each. Returns the number of accounts
/// that were not opted out before.
pub async fn import<'a>(
    db: &Pool,
    by: &Instruction,
    list: impl Iterator<Item = ImportedOptOut<'a>>,
    progress: impl Fn(),
) -> Result<usize, ActError> {
    let mut tx = db.begin().await?;
    let now = database::now(&mut *tx).await?;
    let list: Vec<ImportedOptOut<'a>> = list.collect();
    let accounts: Vec<String> = list.iter().map(|entry| entry.account_id.to_owned()).collect();
    lock_waiting_of_accounts(&mut *tx, &accounts).await?;
    let mut new = 0;
    for ImportedOptOut { account_id, note, since } in list {
        let since = since.unwrap_or(now);
        let request = OptOutRequest { account_id, source: OptOutSource::Import, note, since };
        if opt_outs::opt_out(&mut tx, &request, now).await? == OptOutOutcome::Inserted {
            let action = Action::about_account("opt_out.import", account_id, "opted out");
            by.record(&mut tx, action, now).await?;
            new += 1;
        }
        progress();
    }
    tx.commit().await?;
    Ok(new)
}
