//! The address that the platform sets for an account's letters.
//!
//! It takes precedence over every address at Stripe, because the platform may know its owner
//! better. Bounces suppress it like any other address (`suppression`).

use std::fmt;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::suppression::AddressHash;
use crate::database::export_rows;
use crate::letters::store::{State, lock_unsent_of_account};
use crate::letters::{reason, transition};
use crate::mail::Address;

/// A request to set an account's address.
#[derive(Clone, Copy, Debug)]
pub struct NewContactOverride<'a> {
    /// `acct_…`
    pub account_id: &'a str,
    pub address: &'a Address,
    /// Id of the API key that sets it.
    pub updated_by: &'a str,
}

/// The address set for an account. `Debug` omits it.
#[derive(Clone)]
pub struct ContactOverride {
    pub address: String,
    /// When it was last set.
    pub updated_at: DateTime<Utc>,
    /// The id of the API key that set it.
    pub updated_by: String,
}

impl fmt::Debug for ContactOverride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContactOverride")
            .field("updated_at", &self.updated_at)
            .field("updated_by", &self.updated_by)
            .finish_non_exhaustive()
    }
}

/// Sets an account's address in the caller's transaction, and retries letters that are held for
/// lack of a usable address or because they gave up. Returns their number. A letter in progress, or
/// one that may have been sent, keeps its address.
pub async fn set(
    tx: &mut PgConnection,
    request: &NewContactOverride<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    upsert(&mut *tx, request, now).await?;
    let mut released = 0;
    // The address is written before the letters are locked: a letter that is being held at the same
    // time is waited for and found held; one that is held later sees the address
    // (`recipient_still_missing`).
    for letter in lock_unsent_of_account(&mut *tx, request.account_id).await? {
        // A letter that gave up was not sent, and its address may be the reason: the new address
        // gets attempts of its own.
        let may_retry = letter
            .reason
            .as_deref()
            .is_some_and(|why| reason::lacks_address(why) || why == reason::GAVE_UP);
        if letter.state == State::Held && may_retry {
            transition::retry(&mut *tx, &letter, Some("the platform set another address"), now)
                .await?;
            released += 1;
        }
    }
    Ok(released)
}

/// Whether a letter held for lack of an address still lacks one, in the transaction that held it.
/// `suppressed` is the address that could not be used, if there was one.
pub async fn recipient_still_missing(
    tx: &mut PgConnection,
    account_id: &str,
    suppressed: Option<&AddressHash>,
) -> sqlx::Result<bool> {
    let Some(contact) = find(tx, account_id).await? else { return Ok(true) };
    Ok(suppressed.is_some_and(|hash| *hash == AddressHash::of(&contact.address)))
}

pub async fn find(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<Option<ContactOverride>> {
    sqlx::query_as!(
        ContactOverride,
        "select address, updated_at, updated_by from contact_overrides where account_id = $1",
        account_id,
    )
    .fetch_optional(db)
    .await
}

/// The accounts whose letters go to this address. Case is ignored.
pub async fn accounts_with(
    db: impl PgExecutor<'_>,
    address: &str,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "
        select account_id
        from contact_overrides
        where lower(address) = lower($1)
        order by account_id
        limit $2
        ",
        address,
        limit,
    )
    .fetch_all(db)
    .await
}

async fn upsert(
    db: impl PgExecutor<'_>,
    request: &NewContactOverride<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into contact_overrides (account_id, address, updated_by, updated_at)
        values ($1, $2, $3, $4)
        on conflict (account_id) do update
        set address = $2, updated_by = $3, updated_at = $4
        ",
        request.account_id,
        request.address.expose(),
        request.updated_by,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Returns to the address at Stripe. False if none was set.
pub async fn delete(db: impl PgExecutor<'_>, account_id: &str) -> sqlx::Result<bool> {
    let deleted = sqlx::query!("delete from contact_overrides where account_id = $1", account_id)
        .execute(db)
        .await?;
    Ok(deleted.rows_affected() == 1)
}

/// The accounts whose override was last set before `before`, in order of their ids, after the
/// account `after`, at most `limit`; locked. Skips rows that another transaction holds.
pub async fn lock_older_than(
    tx: &mut PgConnection,
    before: DateTime<Utc>,
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "
        select account_id
        from contact_overrides
        where updated_at < $1 and account_id > $2
        order by account_id
        limit $3
        for update skip locked
        ",
        before,
        after,
        limit,
    )
    .fetch_all(tx)
    .await
}

/// Deletes the overrides of these accounts. Returns their number.
pub async fn delete_all(db: impl PgExecutor<'_>, account_ids: &[String]) -> sqlx::Result<u64> {
    let deleted =
        sqlx::query!("delete from contact_overrides where account_id = any($1)", account_ids)
            .execute(db)
            .await?;
    Ok(deleted.rows_affected())
}

// By account.
export_rows!(export, "select * from contact_overrides where account_id = any($1)");
