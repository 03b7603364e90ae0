//! Consent: which accounts and addresses may receive letters.
//!
//! | module | owns |
//! |---|---|
//! | [`opt_outs`] | accounts that receive no letters, and the unsubscribe link |
//! | [`suppression`] | addresses that are undeliverable |
//! | [`contact_overrides`] | addresses that the platform sets for an account |

pub mod contact_overrides;
pub mod opt_outs;
pub mod suppression;

use sqlx::PgExecutor;

use suppression::AddressHash;

/// Why a letter to an address may not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// The account opted out.
    OptedOut,
    /// The address is suppressed.
    Suppressed,
}

/// What speaks against a letter to this account at this address now.
pub async fn objection(
    db: impl PgExecutor<'_>,
    account_id: &str,
    address: &AddressHash,
) -> sqlx::Result<Option<Objection>> {
    let found = sqlx::query!(
        r#"
        select
            exists (select from opt_outs where account_id = $1 and ended_at is null)
                as "opted_out!",
            exists (
                select from suppressed_addresses where address_sha256 = $2 and ended_at is null
            ) as "suppressed!"
        "#,
        account_id,
        address.as_bytes(),
    )
    .fetch_one(db)
    .await?;
    Ok(match (found.opted_out, found.suppressed) {
        (true, _) => Some(Objection::OptedOut),
        (false, true) => Some(Objection::Suppressed),
        (false, false) => None,
    })
}
