//! What is stored about an account: shown, exported, and gone after its erasure.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use sqlx::{Executor, PgPool};
use stripe_simulator::NewOffer;

use super::{run, run_err, run_ok};
use crate::letters::approvals::{LIVE, approve, live_offer, write_disclaimer};
use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble};

/// Tables that an export leaves out, and why.
const NOT_EXPORTED: &[(&str, &str)] = &[
    ("_sqlx_migrations", "the schema's version"),
    ("api_keys", "keys of the platform's programs"),
    ("console_sessions", "people who operate the service"),
    ("copy_approvals", "approvals of wordings; `delivery_attempts` has those of the account's"),
    ("financing_ledger", "a view of `financing_transactions`"),
    ("ledger_coverage", "how far `ledger_sums` has sums"),
    ("ledger_sums", "sums of `financing_transactions` and `refill_discounts`"),
    ("malformed_bodies", "bodies that are not events: they name no account that could be read"),
    ("offer_listings", "progress of reconciliation"),
    ("pauses", "when an operator paused sending, and why"),
    ("portal_tokens", "hashes of used tokens, without their account"),
    ("reconcile_runs", "progress of reconciliation"),
    ("relays", "the pace of sending"),
    ("replicas", "the processes of the service"),
];

async fn exported(db: &PgPool, account: &str) -> Value {
    serde_json::from_str(&run_ok(db, &["account", "export", account]).await).unwrap()
}

/// A live account with a row in every table that an export has: an offer whose letter was sent in
/// an approved wording, and one whose letter its address refused.
async fn with_everything(db: PgPool, dir: &std::path::Path) -> (TestApp, String) {
    write_disclaimer(dir, "celtic_us_loan");
    let settings = [LIVE, ("COURIER_EMAIL__DISCLAIMERS_DIR", dir.to_str().unwrap())];
    let app = TestApp::start_with(db, &settings).await;
    let sent = live_offer(&app, Some("celtic_us_loan"), "US").await;
    assert_eq!(approve(&app, &settings, "celtic_us_loan", "US").await, 1);
    app.run_due_work().await;
    app.expect_delivered(&sent).await;
    let account = app.account_of(&sent);

    let refused = app.stripe.create_offer(&account, &NewOffer::default());
    app.stripe.edit_offer(&refused, |offer| {
        offer["livemode"] = true.into();
        offer["disclaimer_variant"] = "celtic_us_loan".into();
    });
    app.relay.fail(Step::Rcpt(0), Trouble::Say("550 5.1.1 <jenny@bakery.example> unknown"), 1);
    let mut event = app.stripe.emit("capital.financing_offer.created", &refused);
    event["livemode"] = true.into();
    app.stripe_sends(&event).await.expect_kept();
    app.run_due_work().await;
    app.expect_letter(&refused, "rejected", Some("address_refused")).await;
    insert_the_rest(&app.db, &account).await;
    (app, account)
}

/// Rows of the tables that the two offers do not fill.
async fn insert_the_rest(db: &PgPool, account: &str) {
    for statement in [
        "insert into contact_overrides values ($1, 'owner@bakery.example', now(), 'key_1')",
        "insert into opt_outs (account_id, source, note, opted_out_at, ended_at, ended_by)
         values ($1, 'api', repeat('asked by phone ', 20), now() - interval '1 day', now(), 'api')",
        "insert into opt_outs (account_id, source, opted_out_at) values ($1, 'operator', now())",
        "insert into delivery_reports
             (offer_id, account_id, channel, told_at, reported_by, recorded_at)
         select max(offer_id), account_id, 'dashboard', now(), 'key_1', now()
         from financing_offers where account_id = $1 group by account_id",
        "insert into feedback_events
             (fingerprint, letter_id, channel, outcome, detail, reported_at)
         select sha256('report'), max(letter_id), 'mail', 'transient', '4.2.2', now()
         from letters where account_id = $1",
        "insert into operator_actions
             (acted_at, operator, channel, action, subject, account_id, reason, outcome)
         values (now(), 'ops', 'console', 'opt_out.add', 'account:' || $1, $1, 'asked', 'opted out')",
        "insert into portal_sessions values (sha256('cookie'), $1, 'en', now(), now())",
        r#"insert into financing_transactions
             (transaction_id, account_id, livemode, type, reason, currency, total_minor, object,
             created_at, first_seen_at)
         values ('cptxn_1', $1, true, 'payout', 'payout', 'usd', 110000,
             '{"id":"cptxn_1","nul":"\u0000","large":12345678901234567890123}', now(), now())"#,
        "insert into financing_summaries (account_id, object, as_of) values ($1, '{}', now())",
        "insert into account_locales values ($1, 'US', 'America/New_York', now())",
        "insert into charge_sources values ($1, 'py_1', null, null, now())",
        "insert into refill_discounts
             values ('financingoffer_r', $1, false, 'financingoffer_o', 'usd', 1, now(), now())",
        "insert into payout_explanations values ('po_1', $1, current_date, '{}', now())",
        "insert into transaction_backfills (account_id, changed_at) values ($1, now())
         on conflict do nothing",
    ] {
        sqlx::query(statement).bind(account).execute(db).await.unwrap();
    }
}

/// The names in a result of one column.
async fn names(db: &PgPool, query: &'static str, argument: &str) -> BTreeSet<String> {
    let found: Vec<String> = sqlx::query_scalar(query).bind(argument).fetch_all(db).await.unwrap();
    found.into_iter().collect()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_table_and_column_is_exported_or_left_out_for_a_reason(db: PgPool) {
    let dir = tempfile::tempdir().unwrap();
    let (app, account) = with_everything(db, dir.path()).await;
    let document = exported(&app.db, &account).await;
    assert_eq!(document["account_id"], account.as_str());
    let tables = document["tables"].as_object().unwrap();

    let all = "select relname::text from pg_class where relnamespace = $1::regnamespace
        and relkind in ('r', 'p', 'v') and not relispartition";
    let mut missing = names(&app.db, all, "public").await;
    for (table, reason) in NOT_EXPORTED {
        assert!(missing.remove(*table), "{table} does not exist");
        assert!(!reason.is_empty() && !tables.contains_key(*table), "{table}");
    }
    for (table, rows) in tables {
        assert!(missing.remove(table), "{table} does not exist");
        let row = rows[0].as_object().unwrap_or_else(|| panic!("{table} has no row"));
        let columns = names(
            &app.db,
            "select column_name::text from information_schema.columns where table_name = $1",
            table,
        )
        .await;
        assert_eq!(row.keys().cloned().collect::<BTreeSet<_>>(), columns, "{table}");
    }
    assert!(missing.is_empty(), "neither exported nor left out for a reason: {missing:?}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_export_has_what_an_erasure_removes(db: PgPool) {
    let dir = tempfile::tempdir().unwrap();
    let (app, account) = with_everything(db, dir.path()).await;
    // Another account's data is not part of it.
    let other = live_offer(&app, None, "US").await;
    let file = dir.path().join("export.json");
    let arguments = ["account", "export", &account, "--out", file.to_str().unwrap()];
    assert_eq!(run_ok(&app.db, &arguments).await, "");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let tables = &document["tables"];
    assert_eq!(*tables, exported(&app.db, &account).await["tables"]);

    let letters = tables["letters"].as_array().unwrap();
    assert_eq!(letters.len(), 2);
    let sent = letters.iter().find(|letter| letter["state"] == "sent").unwrap();
    assert_eq!(sent["recipient"], "jenny@bakery.example");
    assert!(sent["body_text"].as_str().unwrap().contains("Loans are issued by a bank."));
    let attempt = &tables["delivery_attempts"][0];
    assert!(attempt["message"].as_str().unwrap().contains("To: jenny@bakery.example\r\n"));
    assert_eq!(attempt["approval_reference"], "CCR-1");
    assert_eq!(tables["contact_overrides"][0]["address"], "owner@bakery.example");
    let bodies = tables["inbox_bodies"].as_array().unwrap();
    assert_eq!(bodies[0]["body"]["data"]["object"]["account"], account.as_str());
    // JSON is exported as it is stored, digit by digit.
    assert!(text.contains(r#""nul":"\u0000","large":12345678901234567890123"#), "{text}");
    assert!(!text.contains(&other));

    run_ok(&app.db, &["account", "erase", &account, "--yes", "--with-proof", "--reason", "x"])
        .await;
    let left = exported(&app.db, &account).await;
    for table in ["contact_overrides", "inbox_bodies", "portal_sessions"] {
        assert_eq!(left["tables"][table], Value::Array(Vec::new()), "{table}");
    }
    assert!(!left.to_string().contains("jenny@") && !left.to_string().contains("owner@"), "{left}");
    assert_eq!(left["tables"]["opt_outs"], tables["opt_outs"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_summary_has_everything_masked_and_in_100_columns(db: PgPool) {
    let dir = tempfile::tempdir().unwrap();
    let (app, account) = with_everything(db, dir.path()).await;
    let shown = run_ok(&app.db, &["account", "show", &account]).await;
    for part in [
        account.as_str(),
        "  contact     o***@bakery.example, set ",
        ", in force, by operator",
        "by api: asked by phone",
        "  sessions    1 in the Capital section",
        "paid out $1,100.00, paid back $0.00, remaining $1,100.00",
        ", emails: 1, the last ",
        "approved for US on 2026-11-24, recorded by compliance, reference CCR-1",
        "$1,000.00 + $100.00 fee",
        "  email       offer: sent ",
        "  email       offer: rejected (address_refused) ",
        "  suppressed  its address since ",
        "  told by     dashboard ",
        "  delivery    delivered ",
        "Stripe answered 200",
    ] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    assert!(!shown.contains("jenny@") && !shown.contains("owner@"), "{shown}");
    let widest = shown.lines().map(|line| line.chars().count()).max();
    assert_eq!(widest, Some(100), "the long note is cut:\n{shown}");

    let json = run_ok(&app.db, &["account", "show", &account, "--json"]).await;
    assert!(!json.contains("jenny@") && !json.contains("owner@"), "{json}");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["contact"]["updated_by"], "key_1");
    assert_eq!(json["wordings"][0]["approved_by"], "compliance");
    assert_eq!(json["opt_outs"][0]["note"], "asked by phone ".repeat(20));
    assert_eq!(json["offers"].as_array().unwrap().len(), 2);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_account_without_offers_is_known_by_its_opt_out(db: PgPool) {
    run_ok(&db, &["opt-out", "add", "acct_1"]).await;
    let shown = run_ok(&db, &["account", "show", "acct_1"]).await;
    assert!(
        shown.contains(", in force, by operator") && shown.contains("set no address"),
        "{shown}"
    );
    let json: Value =
        serde_json::from_str(&run_ok(&db, &["account", "show", "acct_1", "--json"]).await).unwrap();
    assert_eq!((&json["contact"], &json["offers"]), (&Value::Null, &Value::Array(Vec::new())));
    let tables = exported(&db, "acct_1").await["tables"].take();
    assert_eq!(tables["opt_outs"][0]["source"], "operator");
    assert_eq!(tables["letters"], Value::Array(Vec::new()));
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_unknown_account_is_an_error_and_leaves_no_file(db: PgPool) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("export.json");
    let told = run_err(&db, &["account", "show", "acct_unknown"]).await;
    assert!(told.contains("acct_unknown not found") && told.contains("`offer list`"), "{told}");
    let arguments = ["account", "export", "acct_unknown", "--out", file.to_str().unwrap()];
    let told = run_err(&db, &arguments).await;
    assert!(told.contains("nothing was exported; check the id"), "{told}");
    assert!(!file.exists());
    for command in ["show", "export"] {
        let ended = run(&db, &["account", command, "nonsense"]).await;
        assert_eq!(ended.status.code(), Some(64));
    }
    // A file that cannot be written is an error too.
    db.execute(
        "insert into opt_outs (account_id, source, opted_out_at) values ('acct_1', 'api', now())",
    )
    .await
    .unwrap();
    let arguments = ["account", "export", "acct_1", "--out", dir.path().to_str().unwrap()];
    assert!(run_err(&db, &arguments).await.contains("cannot write"));
}
