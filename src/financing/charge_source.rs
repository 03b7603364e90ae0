//! Finds the platform's charge behind a charge on a connected account.
//!
//! A destination charge appears on the account as a payment; the platform's own records name the
//! original charge: `transaction → charge → source_transfer → source_transaction`. The chain is
//! fetched on demand and stored permanently, because it does not change.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{Financings, LookupError};
use crate::database::with_timeout;
use crate::stripe::AccountId;

/// A charge on an account, with the transfer and the platform's charge behind it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ChargeSource {
    /// The charge on the account: `py_…` or `ch_…`.
    pub charge_id: String,
    /// The transfer that funded it; none for a charge made directly on the account.
    pub transfer_id: Option<String>,
    /// The platform's charge that the transfer passes on.
    pub source_charge_id: Option<String>,
}

impl Financings {
    /// Resolves a charge on an account to the platform's charge.
    pub async fn charge_source(
        &self,
        account: &AccountId,
        charge_id: &str,
    ) -> Result<ChargeSource, LookupError> {
        if let Some(stored) = with_timeout(find(&self.db, account.as_str(), charge_id)).await? {
            return Ok(stored);
        }
        let charge = self.stripe.charge(account, charge_id).await?;
        let source_charge_id = match charge.source_transfer.as_deref() {
            None => None,
            Some(transfer) => self.stripe.transfer(transfer).await?.source_transaction,
        };
        let (charge_id, transfer_id) = (charge_id.to_owned(), charge.source_transfer);
        let source = ChargeSource { charge_id, transfer_id, source_charge_id };
        with_timeout(insert(&self.db, account.as_str(), &source, self.clock.now())).await?;
        Ok(source)
    }
}

async fn find(
    db: impl PgExecutor<'_>,
    account_id: &str,
    charge_id: &str,
) -> sqlx::Result<Option<ChargeSource>> {
    sqlx::query_as!(
        ChargeSource,
        "
        select charge_id, transfer_id, source_charge_id
        from charge_sources
        where account_id = $1 and charge_id = $2
        ",
        account_id,
        charge_id,
    )
    .fetch_optional(db)
    .await
}

/// Two concurrent lookups store the same row: the second insert does nothing.
async fn insert(
    db: impl PgExecutor<'_>,
    account_id: &str,
    source: &ChargeSource,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into charge_sources
            (account_id, charge_id, transfer_id, source_charge_id, fetched_at)
        values ($1, $2, $3, $4, $5)
        on conflict (account_id, charge_id) do nothing
        ",
        account_id,
        source.charge_id,
        source.transfer_id,
        source.source_charge_id,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}
