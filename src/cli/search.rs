//! `search`: what an id or an address belongs to.

use anyhow::ensure;

use crate::cli::{out, table};
use crate::database::Pool;
use crate::operators::search::{self, Hit};

pub(super) async fn run(db: &Pool, term: &str, json: bool) -> anyhow::Result<()> {
    let hits = search::search(db, term).await?;
    if json {
        return out::json(&hits);
    }
    ensure!(
        !hits.is_empty(),
        "nothing found: search by the id of an offer, account, email, event, job or transaction, a \
         Message-ID, a request id of Stripe, or an address; names of merchants are not stored"
    );
    table::print(false, &hits, ["what", "id", "offer", "account", "state"], |hit| {
        let Hit { kind, id, offer_id, account_id, summary } = hit;
        // The id of an offer or an account is not repeated.
        let other = |of: &Option<String>| of.clone().filter(|of| of != id).unwrap_or_default();
        [kind.as_str().to_owned(), id.clone(), other(offer_id), other(account_id), summary.clone()]
    })
}
