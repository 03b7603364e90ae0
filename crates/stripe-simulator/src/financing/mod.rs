//! The money of financings: what is paid out, withheld from sales, paid by hand, collected and
//! undone, and the balances that it moves through.
//!
//! | file | owns |
//! |---|---|
//! | `disbursement` | the advance, and what a refill does to the financing before it |
//! | `charge` | sales, their refunds, and what is withheld from a sale |
//! | `payment` | payments to a financing, and its end |
//! | `reversal` | reversals of payments, and cancellations |
//! | `transaction` | `capital.financing_transaction` |
//! | `balance` | balance transactions, and payouts to the bank |
//! | `summary` | `capital.financing_summary` |
//!
//! Money that comes in is available at once: nothing is ever pending.

pub(crate) mod balance;
pub(crate) mod charge;
pub(crate) mod disbursement;
pub(crate) mod payment;
pub(crate) mod reversal;
pub(crate) mod summary;
mod transaction;
