//! Where a sale was made that a share was withheld from. A destination charge is a payment on the account; what the platform's own
//! records name is the charge behind it: `transaction → charge → source_transfer → source_transaction`. Asked for when somebody
//! wants to know, and remembered for good.

mod store;

use super::{Financings, Unanswered};
use crate::database::with_timeout;
use crate::stripe::AccountId;

/// What is behind a charge on an account.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ChargeSource {
    /// The charge on the account: `py_…` or `ch_…`.
    pub charge_id: String,
    /// The transfer that brought it, where it was made on the platform.
    pub transfer_id: Option<String>,
    /// The platform's charge that the transfer passes on.
    pub source_charge_id: Option<String>,
}

impl Financings {
    /// Follows a charge on an account to where it was made.
    pub async fn origin(
        &self,
        account: &AccountId,
        charge_id: &str,
    ) -> Result<ChargeSource, Unanswered> {
        if let Some(known) =
            with_timeout(store::find(&self.db, account.as_str(), charge_id)).await?
        {
            return Ok(known);
        }
        let charge = self.stripe.charge(account, charge_id).await?;
        let source_charge_id = match charge.source_transfer.as_deref() {
            None => None,
            Some(transfer) => self.stripe.transfer(transfer).await?.source_transaction,
        };
        let (charge_id, transfer_id) = (charge_id.to_owned(), charge.source_transfer);
        let origin = ChargeSource { charge_id, transfer_id, source_charge_id };
        with_timeout(store::keep(&self.db, account.as_str(), &origin, self.clock.now())).await?;
        Ok(origin)
    }
}
