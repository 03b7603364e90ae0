//! `report transactions`: the financing transactions of a period.

use futures_util::TryStreamExt;

use super::Filter;
use crate::cli::records::Records;
use crate::database::{self, Pool};
use crate::financing::ledger::{Movement, MovementRange, store};
use crate::format::csv::Cell;

const COLUMNS: [&str; 14] = [
    "transaction",
    "created_at",
    "account",
    "offer",
    "type",
    "reason",
    "effect",
    "currency",
    "total",
    "advance",
    "fee",
    "reverses",
    "charge",
    "refill",
];

/// Streams the report from the database to stdout.
pub(super) async fn write(db: &Pool, filter: &Filter) -> anyhow::Result<()> {
    let (from, until) = filter.period()?;
    let mut out = Records::new(filter.json, COLUMNS)?;
    let mut connection = database::without_statement_timeout(db).await?;
    let period = MovementRange { from, until, account_id: filter.account() };
    let mut movements = store::movements(&mut connection, &period);
    while let Some(movement) = movements.try_next().await? {
        out.write(cells(movement))?;
    }
    Ok(out.finish()?)
}

fn cells(movement: Movement) -> [Cell; 14] {
    let currency = movement.currency;
    let amount = |minor| Cell::amount(minor, &currency);
    [
        movement.transaction_id.into(),
        movement.created_at.into(),
        movement.account_id.into(),
        movement.offer_id.into(),
        movement.r#type.into(),
        movement.reason.into(),
        movement.effect.into(),
        Cell::currency(&currency),
        amount(movement.total_minor),
        movement.advance_minor.map(amount).into(),
        movement.fee_minor.map(amount).into(),
        movement.reversed_transaction_id.into(),
        movement.charge_id.into(),
        movement.refill_offer_id.into(),
    ]
}
