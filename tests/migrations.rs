//! Every migration runs over the data of the ones before it and loses none; the constraints refuse what cannot be true.
//!
//! `tests/migrations/<version>.sql` holds rows as they were written with the schema of that version.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::path::Path;

use capital_courier::MIGRATOR;
use sqlx::{AssertSqlSafe, Executor, PgPool, query, query_scalar};

async fn counts(db: &PgPool) -> Vec<(String, i64)> {
    let tables: Vec<String> = query_scalar(
        "
        select table_name::text from information_schema.tables
        where table_schema = 'public' and table_name <> '_sqlx_migrations'
        order by 1
        ",
    )
    .fetch_all(db)
    .await
    .unwrap();
    let mut counts = Vec::new();
    for table in tables {
        let count = format!(r#"select count(*) from "{table}""#);
        counts.push((table, query_scalar(AssertSqlSafe(count)).fetch_one(db).await.unwrap()));
    }
    counts
}

#[sqlx::test(migrations = false)]
async fn every_migration_keeps_the_rows_of_those_before_it(db: PgPool) {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrations");
    for migration in MIGRATOR.iter() {
        let before = counts(&db).await;
        MIGRATOR.run_to(migration.version, &db).await.unwrap();
        let after = counts(&db).await;
        for table in &before {
            assert!(after.contains(table), "{}: {before:?}, then {after:?}", migration.description);
        }
        let sample = samples.join(format!("{}.sql", migration.version));
        let rows = std::fs::read_to_string(&sample).unwrap_or_else(|_| {
            panic!("{} needs sample rows in {}", migration.description, sample.display())
        });
        db.execute(AssertSqlSafe(rows)).await.unwrap();
    }
    let empty: Vec<_> = counts(&db).await.into_iter().filter(|(_, rows)| *rows == 0).collect();
    assert!(empty.is_empty(), "no sample rows in {empty:?}");
    // A second run changes nothing.
    MIGRATOR.run(&db).await.unwrap();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_newer_schema_does_not_stop_an_older_binary(db: PgPool) {
    query(
        "
        insert into _sqlx_migrations (version, description, success, checksum, execution_time)
        values (99991231000000, 'from the future', true, '\\x00', 0)
        ",
    )
    .execute(&db)
    .await
    .unwrap();
    MIGRATOR.run(&db).await.unwrap();
    assert_eq!(
        capital_courier::database::health(&db.clone().into()).await,
        capital_courier::database::Health::Ready
    );
}

#[test]
fn a_migrations_name_says_what_it_does_to_what() {
    for migration in MIGRATOR.iter() {
        assert_eq!(migration.version.to_string().len(), 14, "{}", migration.version);
        let words: Vec<&str> = migration.description.split(' ').collect();
        assert!(
            words.len() > 1
                && ["create", "add", "drop", "change", "index", "fill"].contains(&words[0]),
            "{}: name it verb_object",
            migration.description
        );
    }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_cannot_be_true_cannot_be_written(db: PgPool) {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrations");
    for migration in MIGRATOR.iter() {
        let rows =
            std::fs::read_to_string(samples.join(format!("{}.sql", migration.version))).unwrap();
        db.execute(AssertSqlSafe(rows)).await.unwrap();
    }
    for (constraint, lie) in [
        ("inbox_events_state", "update inbox_events set state = 'lost' where event_id = 'evt_read'"),
        ("inbox_events_read_has_time", "update inbox_events set read_at = null where event_id = 'evt_read'"),
        ("letters_one_per_sequence", "update letters set sequence = 0 where letter_id = 'letter_reminder'"),
        ("letters_one_per_sequence", "update letters set resend_number = 0 where letter_id = 'letter_resend'"),
        ("letters_resend_number", "update letters set resend_number = -1 where letter_id = 'letter_resend'"),
        ("letters_sequence", "update letters set sequence = -1 where letter_id = 'letter_reminder'"),
        ("letters_state", "update letters set state = 'lost', reason = 'x' where letter_id = 'letter_held'"),
        ("letters_sent_has_time", "update letters set sent_at = null where letter_id = 'letter_sent'"),
        (
            "letters_sending_has_content",
            "update letters set body_text = null where letter_id = 'letter_sent'",
        ),
        ("letters_end_has_reason", "update letters set reason = null where letter_id = 'letter_held'"),
        ("letters_message_id_key", "update letters set message_id = 'sent@rocket.example'"),
        ("letters_offer_id_fkey", "update letters set offer_id = 'unknown' where letter_id = 'letter_held'"),
        (
            "delivery_attempts_one_per_attempt",
            "insert into delivery_attempts (letter_id, attempt, offer_id, account_id, kind, locale, message_id, recipient, subject, message_sha256,
                 template_version, consent_checked_at, attempted_at)
             values ('letter_sent', 1, 'o', 'a', 'offer', 'en', 'm', 'r', 's', sha256(''), 'v', now(), now())",
        ),
        (
            "delivery_attempts_hash",
            "insert into delivery_attempts (letter_id, attempt, offer_id, account_id, kind, locale, message_id, recipient, subject, message_sha256,
                 template_version, consent_checked_at, attempted_at)
             values ('letter_sent', 2, 'o', 'a', 'offer', 'en', 'm', 'r', 's', 'short', 'v', now(), now())",
        ),
        (
            "delivery_attempt_results_outcome",
            "insert into delivery_attempt_results (delivery_attempt_id, outcome, reply, recorded_at) select delivery_attempt_id + 0, 'x', '', now() from delivery_attempts",
        ),
        ("deliveries_state", "update deliveries set state = 'lost' where delivered_at is null"),
        (
            "deliveries_delivered_has_time",
            "update deliveries set state = 'delivered' where delivered_at is null",
        ),
        (
            "reconcile_runs_state",
            "update reconcile_runs set state = 'done', error = null, ended_at = started_at where state = 'running'",
        ),
        (
            "reconcile_runs_end_has_time",
            "update reconcile_runs set ended_at = started_at where state = 'running'",
        ),
        (
            "reconcile_runs_incomplete_has_error",
            "update reconcile_runs set error = null where state = 'incomplete'",
        ),
        (
            "delivery_reports_once",
            "insert into delivery_reports (offer_id, account_id, channel, told_at, reported_by, recorded_at)
             values ('financingoffer_2', 'acct_1', 'push', '2026-11-24T12:00:00Z', 'key_1', now())",
        ),
        ("refill_discounts_amount", "update refill_discounts set discount_minor = 0"),
        ("refill_discounts_of_another", "update refill_discounts set offer_id = refill_offer_id"),
        (
            "offer_listings_unfinished",
            "insert into offer_listings (livemode, started_at) values (null, now())",
        ),
        ("opt_outs_source", "update opt_outs set source = 'hearsay'"),
        ("opt_outs_end_has_source", "update opt_outs set ended_at = opted_out_at"),
        ("opt_outs_scope", "update opt_outs set scope = 'everything'"),
        (
            "opt_outs_one_active",
            "insert into opt_outs (account_id, source, opted_out_at) values ('acct_9', 'link', now())",
        ),
        ("api_keys_have_scopes", "update api_keys set scopes = '{}'"),
        ("api_keys_secret_sha256_key", "update api_keys set secret_sha256 = '\\x01'"),
        ("feedback_events_channel", "update feedback_events set channel = 'window'"),
        ("feedback_events_outcome", "update feedback_events set outcome = 'lost'"),
        ("suppressed_addresses_reason", "update suppressed_addresses set reason = 'hearsay'"),
        (
            "suppressed_addresses_end_has_source",
            "update suppressed_addresses set ended_by = null where ended_at is not null",
        ),
        (
            "suppressed_addresses_one_active",
            "update suppressed_addresses set ended_at = null, ended_by = null where ended_at is not null",
        ),
        ("contact_overrides_address", "update contact_overrides set address = 'jenny'"),
        ("jobs_state", "update jobs set state = 'lost' where state = 'queued'"),
        ("jobs_claimed_has_lease", "update jobs set lease_token = null where state = 'claimed'"),
        ("jobs_finished_has_time", "update jobs set finished_at = null where state = 'dead'"),
        (
            "transaction_backfills_pass",
            "update transaction_backfills set started_at = null where account_id = 'acct_reading'",
        ),
        ("relays_relay", "update relays set relay = ''"),
        ("console_sessions_role", "update console_sessions set role = 'owner'"),
        ("console_sessions_hashes", "update console_sessions set token_proof = ''"),
        ("jobs_key_key", "update jobs set key = 'send_letter:letter_held'"),
    ] {
        let refused = query(lie).execute(&db).await.unwrap_err();
        assert_eq!(
            refused.as_database_error().and_then(|error| error.constraint()),
            Some(constraint),
            "{lie}"
        );
    }
}
