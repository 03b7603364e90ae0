//! The rows about letters of an account, for `account export`. Its counterpart is
//! [`super::erasure`].

use sqlx::PgExecutor;

use crate::database::export_rows;

/// The ids of an account's letters, and the SHA-256 hashes of the suppressed addresses that they
/// were meant for, in hexadecimal.
pub async fn keys_of(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<(Vec<String>, Vec<String>)> {
    let keys = sqlx::query!(
        "
        select letter_id, encode(suppressed_address_sha256, 'hex') as address_sha256
        from letters
        where account_id = $1
        ",
        account_id,
    )
    .fetch_all(db)
    .await?;
    let (letters, addresses): (Vec<_>, Vec<_>) =
        keys.into_iter().map(|row| (row.letter_id, row.address_sha256)).unzip();
    Ok((letters, addresses.into_iter().flatten().collect()))
}

// By account.
export_rows!(letters, "select * from letters where account_id = any($1) order by letter_id");

// By account. The message is text: what is not ASCII is written as in `\303`.
export_rows!(
    delivery_attempts,
    "
    select delivery_attempt_id, letter_id, attempt, offer_id, account_id, kind, locale, message_id,
        recipient, subject, encode(message, 'escape') as message, message_sha256, template_version,
        copy_hash, disclaimer_variant, approval_market, approval_reference, approved_by,
        consent_checked_at, attempted_at
    from delivery_attempts
    where account_id = any($1)
    order by delivery_attempt_id
    "
);

// By account.
export_rows!(
    delivery_attempt_results,
    "
    select results.*
    from delivery_attempt_results results
    join delivery_attempts using (delivery_attempt_id)
    where account_id = any($1)
    order by delivery_attempt_id
    "
);

// By offer: a delivery without a letter has no other tie to its account.
export_rows!(
    deliveries,
    "select * from deliveries where offer_id = any($1) order by requested_at, offer_id"
);
