//! Contact overrides: the address that the platform sets for an account.

use capital_courier::maintenance::retention::erase_account;
use capital_courier::web::api::Scope;
use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble};
use crate::web::api::{Answer, call, key};

async fn contact(app: &TestApp, method: &str, account: &str, body: &str) -> Answer {
    let key = key(app, &[Scope::ContactsWrite]).await;
    call(app, &key, method, &format!("/api/v1/accounts/{account}/contact"), body).await
}

async fn set_address(app: &TestApp, account: &str, email: &str) -> Value {
    contact(app, "PUT", account, &json!({"email": email}).to_string()).await.expect(200)
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_override_precedes_stripes_address_until_deleted(db: PgPool) {
    let app = TestApp::start(db).await;
    let first = app.offer_to(Some("jenny@bakery.example"));
    let account = app.account_of(&first);
    let nothing = json!({"account": account, "email": null, "updated_at": null});
    assert_eq!(contact(&app, "GET", &account, "").await.expect(200), nothing);
    set_address(&app, &account, "someone@bakery.example").await;
    let named = set_address(&app, &account, "owner@bakery.example").await;
    assert_eq!(
        (&named["email"], &named["account"]),
        (&json!("owner@bakery.example"), &json!(account))
    );
    assert_eq!(contact(&app, "GET", &account, "").await.expect(200), named);
    app.announce(&first).await;
    for _ in 0..2 {
        assert_eq!(contact(&app, "DELETE", &account, "").await.expect(200), nothing);
    }
    let second = app.stripe.create_offer(&account, &stripe_simulator::NewOffer::default());
    app.announce(&second).await;
    assert_eq!(app.recipients(), ["owner@bakery.example", "jenny@bakery.example"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_override_releases_letters_without_a_usable_address(db: PgPool) {
    let app = TestApp::start(db).await;
    for (stripes, reason) in [
        (None, "no_recipient"),
        (Some("jenny at the bakery"), "bad_address"),
        (Some("\"<jenny>\"@bakery.example"), "bad_address"),
        (Some("jenny@[127.0.0.1]"), "bad_address"),
    ] {
        let offer = app.offer_to(stripes);
        app.announce(&offer).await;
        app.expect_letter(&offer, "held", Some(reason)).await;
        set_address(&app, &app.account_of(&offer), "owner@bakery.example").await;
        app.expect_letter(&offer, "waiting", None).await;
        app.run_due_work().await;
        app.expect_delivered(&offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_override_replaces_a_suppressed_address(db: PgPool) {
    let app = TestApp::start(db).await;
    let first = app.offer();
    let account = app.account_of(&first);
    app.relay.fail(Step::Rcpt(0), Trouble::Say("550 5.1.1 unknown"), 1);
    app.announce(&first).await;
    app.expect_letter(&first, "rejected", Some("address_refused")).await;
    let second = app.stripe.create_offer(&account, &stripe_simulator::NewOffer::default());
    app.announce(&second).await;
    app.expect_letter(&second, "held", Some("address_bounced")).await;
    // Setting the suppressed address itself changes nothing.
    set_address(&app, &account, "Jenny@bakery.example").await;
    app.run_due_work().await;
    app.expect_letter(&second, "held", Some("address_bounced")).await;
    set_address(&app, &account, "owner@bakery.example").await;
    app.run_due_work().await;
    app.expect_delivered(&second).await;
    app.expect_letter(&first, "rejected", Some("address_refused")).await;
    assert_eq!(app.recipients(), ["owner@bakery.example"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_override_retries_a_letter_that_gave_up(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "2")]).await;
    let offer = app.offer();
    app.relay.fail(Step::To("bakery.example"), Trouble::Say("450 4.2.2 mailbox full"), 100);
    app.announce(&offer).await;
    for _ in 0..4 {
        app.after(TimeDelta::hours(1)).await;
    }
    app.expect_letter(&offer, "held", Some("gave_up")).await;
    set_address(&app, &app.account_of(&offer), "owner@garage.example").await;
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    assert_eq!(app.recipients(), ["owner@garage.example"]);
    app.finish().await;
}

/// The trigger sets an address after the sender found none and before it records that.
#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_override_set_during_the_hold_is_not_missed(db: PgPool) {
    let app = TestApp::start(db).await;
    sqlx::raw_sql(
        "
        create function name_address() returns trigger language plpgsql as $$
        begin
            insert into contact_overrides (account_id, address, updated_at, updated_by)
            values (new.account_id, 'owner@bakery.example', now(), 'key_1');
            return new;
        end $$;
        create trigger name_address before update on letters
        for each row when (new.state = 'held') execute function name_address();
        ",
    )
    .execute(&app.db)
    .await
    .unwrap();
    let offer = app.offer_to(None);
    app.announce(&offer).await;
    app.expect_delivered(&offer).await;
    assert_eq!(app.recipients(), ["owner@bakery.example"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn letters_held_for_other_reasons_stay_held(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_EMAIL__WHEN_UNCERTAIN", "hold")]).await;
    let offer = app.offer();
    app.relay.fail(Step::Dot, Trouble::Drop, 1);
    app.announce(&offer).await;
    app.expect_letter(&offer, "held", Some("uncertain")).await;
    set_address(&app, &app.account_of(&offer), "owner@bakery.example").await;
    app.run_due_work().await;
    app.expect_letter(&offer, "held", Some("uncertain")).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn invalid_addresses_are_refused(db: PgPool) {
    let app = TestApp::start(db).await;
    let long = json!({"email": format!("{}@x.example", "x".repeat(250))}).to_string();
    for (body, code) in [
        (r#"{"email": "jenny"}"#, "bad_address"),
        (r#"{"email": ""}"#, "bad_address"),
        (r#"{"email": "a@b.example\r\nBcc: c@d.example"}"#, "bad_address"),
        (r#"{"email": "a@b.example, c@d.example"}"#, "bad_address"),
        (r#"{"email": "\"<x>\"@b.example"}"#, "bad_address"),
        (r#"{"email": "a@[127.0.0.1]"}"#, "bad_address"),
        (r#"{"email": "a@[IPv6:::1]"}"#, "bad_address"),
        (&long, "bad_address"),
        ("", "malformed_body"),
        (r#"{"email": null}"#, "malformed_body"),
        (r#"{"email": "a@b.example", "name": "A"}"#, "malformed_body"),
    ] {
        contact(&app, "PUT", "acct_1", body).await.expect_refused(400, code);
    }
    contact(&app, "PUT", "1", r#"{"email": "a@b.example"}"#)
        .await
        .expect_refused(400, "bad_account");
    assert!(app.contact_overrides().await.is_empty());
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn overrides_are_erased_with_the_account_or_when_idle(db: PgPool) {
    let app = TestApp::start(db).await;
    let (used, idle) = (app.offer(), "acct_idle");
    let account = app.account_of(&used);
    set_address(&app, &account, "owner@bakery.example").await;
    set_address(&app, idle, "owner@garage.example").await;
    app.clock.advance(TimeDelta::days(10));
    app.announce(&used).await;
    app.clock.advance(TimeDelta::days(360));
    assert!(app.app.erase_now().await.unwrap());
    let left = app.contact_overrides().await;
    assert_eq!(left, [account.as_str()], "only the account with a letter in the last year");
    let mut tx = app.db.begin().await.unwrap();
    let erased = erase_account(&mut tx, &account, false, app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(erased.contacts, 1);
    assert!(app.contact_overrides().await.is_empty());
    app.finish().await;
}
