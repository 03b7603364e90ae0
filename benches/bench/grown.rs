//! A large history, so that what grows with it is seen: events that were read, offers that are
//! over, and jobs that are due later.

use sqlx::AssertSqlSafe;

use crate::database::Database;
use crate::sizes::Sizes;

/// Rows of one statement.
const CHUNK: i64 = 500_000;

pub fn describe(sizes: &Sizes) -> String {
    let (events, jobs, offers) = sizes.history;
    format!("With {events} events, {jobs} jobs and {offers} offers behind it:")
}

/// Their bodies are a third of the usual size, so that ten million need 7 GB of disk.
const EVENTS: &str = "
    with events as (
        insert into inbox_events (event_id, event_type, object_id, account_id, livemode,
            api_version, state, created_at, received_at, read_at)
        select 'evt_history' || n, 'capital.financing_transaction.created', 'cptxn_history' || n,
            'acct_history' || n % 1000000, false, '2025-09-30.preview', 'read', at, at, at
        from generate_series(FROM, UNTIL) n,
            lateral (select now() - n % 300 * interval '1 day' as at) times
        returning event_id, received_at
    )
    insert into inbox_bodies (received_on, event_id, body)
    select (received_at at time zone 'utc')::date, event_id,
        convert_to('{\"id\":\"' || event_id || repeat('x', 400) || '\"}', 'utf8')
    from events";

const OFFERS: &str = "
    insert into financing_offers (offer_id, account_id, livemode, status, financing_type,
        currency, advance_minor, fee_minor, withhold_rate, object, created_at,
        first_seen_at, object_as_of)
    select 'financingoffer_history' || n, 'acct_history' || n, false, 'fully_repaid', 'flex_loan',
        'usd', 1000000, 100000, 0.15, '{}', at, at, at
    from generate_series(FROM, UNTIL) n,
        lateral (select now() - n % 300 * interval '1 day' as at) times";

/// Due after the benchmark, and not later than a job of this kind may be: the service takes that for
/// the mistake of a wrong clock, and makes such jobs due now.
const JOBS: &str = "
    insert into jobs (kind, key, subject, due_at, queued_at)
    select 'backfill_transactions', 'backfill_transactions:acct_history' || n, 'acct_history' || n,
        now() + interval '3 hours' + n % 72000 * interval '1 second', now()
    from generate_series(FROM, UNTIL) n";

pub async fn fill(db: &Database, sizes: &Sizes) {
    let (events, jobs, offers) = sizes.history;
    for (statement, count) in [(EVENTS, events), (OFFERS, offers), (JOBS, jobs)] {
        let mut from = 1;
        while from <= count {
            let until = (from + CHUNK - 1).min(count);
            let chunk = statement.replace("FROM,", &format!("{from},"));
            let chunk = chunk.replace("UNTIL)", &format!("{until})"));
            sqlx::query(AssertSqlSafe(chunk)).execute(&db.pool).await.unwrap();
            from = until + 1;
        }
    }
    db.calm().await;
}
