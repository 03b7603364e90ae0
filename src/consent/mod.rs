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

/// What merchant and platform have said about letters to an account.
pub struct Preferences {
    pub is_opted_out: bool,
    /// Set by the platform; takes precedence over every address at Stripe.
    pub address: Option<String>,
}

pub async fn preferences_of(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> sqlx::Result<Preferences> {
    sqlx::query_as!(
        Preferences,
        r#"
        select
            exists (select from opt_outs where account_id = $1 and ended_at is null)
                as "is_opted_out!",
            (select address from contact_overrides where account_id = $1) as address
        "#,
        account_id,
    )
    .fetch_one(db)
    .await
}

/// Why a letter to an address may not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// The account opted out.
    OptedOut,
    /// The address is suppressed.
    Suppressed,
}

/// What speaks now against a letter to each of these accounts at its address.
pub async fn objections(
    db: impl PgExecutor<'_>,
    recipients: &[(&str, AddressHash)],
) -> sqlx::Result<Vec<Option<Objection>>> {
    let accounts: Vec<String> = recipients.iter().map(|(id, _)| (*id).to_owned()).collect();
    let addresses: Vec<Vec<u8>> =
        recipients.iter().map(|(_, address)| address.as_bytes().to_vec()).collect();
    let rows = sqlx::query!(
        r#"
        select
            exists (
                select from opt_outs
                where opt_outs.account_id = recipient.account_id and ended_at is null
            ) as "opted_out!",
            exists (
                select from suppressed_addresses
                where suppressed_addresses.address_sha256 = recipient.address_sha256
                    and ended_at is null
            ) as "suppressed!"
        from unnest($1::text[], $2::bytea[]) with ordinality
            as recipient (account_id, address_sha256, position)
        order by position
        "#,
        &accounts,
        &addresses,
    )
    .fetch_all(db)
    .await?;
    let objections = rows.into_iter().map(|found| match (found.opted_out, found.suppressed) {
        (true, _) => Some(Objection::OptedOut),
        (false, true) => Some(Objection::Suppressed),
        (false, false) => None,
    });
    Ok(objections.collect())
}
