//! The SQL of the addresses that the platform names. The caller owns the transaction.

use std::fmt;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::ContactOverride;

/// Where an account's letters are to go. Prints without the address.
#[derive(Clone)]
pub struct Contact {
    /// The bare address.
    pub address: String,
    /// When the platform said so last.
    pub updated_at: DateTime<Utc>,
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contact").field("updated_at", &self.updated_at).finish_non_exhaustive()
    }
}

/// The address that the platform named for an account; none where it named none.
pub async fn find(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<Option<Contact>> {
    sqlx::query_as!(
        Contact,
        "select address, updated_at from contact_overrides where account_id = $1",
        account_id,
    )
    .fetch_optional(db)
    .await
}

/// Writes an address down, in the place of the one before.
pub async fn put(
    db: impl PgExecutor<'_>,
    naming: &ContactOverride<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into contact_overrides (account_id, address, updated_by, updated_at)
        values ($1, $2, $3, $4)
        on conflict (account_id) do update
        set address = $2, updated_by = $3, updated_at = $4
        ",
        naming.account_id,
        naming.address.expose(),
        naming.updated_by,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets the address: letters go where Stripe says. False where there was none.
pub async fn remove(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    let removed = sqlx::query!("delete from contact_overrides where account_id = $1", account_id)
        .execute(db)
        .await?;
    Ok(removed.rows_affected() == 1)
}
