//! The address that the platform names for an account's letters.

use capital_courier::maintenance::retention::erase_account;
use capital_courier::web::api::Scope;
use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble};
use crate::web::api::{Answer, call, key};

fn account_of(app: &TestApp, offer: &str) -> String {
    app.stripe.offer(offer).unwrap()["account"].as_str().unwrap().to_owned()
}

async fn contact(app: &TestApp, method: &str, account: &str, body: &str) -> Answer {
    let key = key(app, &[Scope::ContactsWrite]).await;
    call(app, &key, method, &format!("/api/v1/accounts/{account}/contact"), body).await
}

async fn name(app: &TestApp, account: &str, email: &str) -> Value {
    contact(app, "PUT", account, &json!({"email": email}).to_string()).await.expect(200)
}

async fn learn_of(app: &TestApp, offer: &str) {
    app.stripe_sends(&app.created(offer)).await.expect_kept();
    app.run_due_work().await;
}

fn recipients(app: &TestApp) -> Vec<String> {
    app.relay.letters().iter().map(|letter| letter.to[0].clone()).collect()
}

async fn addresses(app: &TestApp) -> i64 {
    sqlx::query_scalar("select count(*) from contact_overrides").fetch_one(&app.db).await.unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_address_that_the_platform_names_comes_before_stripes_until_it_is_forgotten(
    db: PgPool,
) {
    let app = TestApp::start(db).await;
    let first = app.offer_to(Some("jenny@bakery.example"));
    let account = account_of(&app, &first);
    let nothing = json!({"account": account, "email": null, "updated_at": null});
    assert_eq!(contact(&app, "GET", &account, "").await.expect(200), nothing);
    name(&app, &account, "someone@bakery.example").await;
    let named = name(&app, &account, "owner@bakery.example").await;
    assert_eq!(
        (&named["email"], &named["account"]),
        (&json!("owner@bakery.example"), &json!(account))
    );
    assert_eq!(contact(&app, "GET", &account, "").await.expect(200), named);
    learn_of(&app, &first).await;
    for _ in 0..2 {
        assert_eq!(contact(&app, "DELETE", &account, "").await.expect(200), nothing);
    }
    let second = app.stripe.create_offer(&account, &stripe_simulator::NewOffer::default());
    learn_of(&app, &second).await;
    assert_eq!(recipients(&app), ["owner@bakery.example", "jenny@bakery.example"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_that_is_held_for_want_of_an_address_goes_out_when_one_is_named(db: PgPool) {
    let app = TestApp::start(db).await;
    for (stripes, reason) in [
        (None, "no_recipient"),
        (Some("jenny at the bakery"), "bad_address"),
        (Some("\"<jenny>\"@bakery.example"), "bad_address"),
        (Some("jenny@[127.0.0.1]"), "bad_address"),
    ] {
        let offer = app.offer_to(stripes);
        learn_of(&app, &offer).await;
        app.expect_letter(&offer, "held", Some(reason)).await;
        name(&app, &account_of(&app, &offer), "owner@bakery.example").await;
        app.expect_letter(&offer, "waiting", None).await;
        app.run_due_work().await;
        app.expect_delivered(&offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_whose_address_came_back_goes_to_the_one_that_is_named_if_it_works(db: PgPool) {
    let app = TestApp::start(db).await;
    let first = app.offer();
    let account = account_of(&app, &first);
    app.relay.fail(Step::Rcpt(0), Trouble::Say("550 5.1.1 unknown"), 1);
    learn_of(&app, &first).await;
    app.expect_letter(&first, "rejected", Some("address_refused")).await;
    let second = app.stripe.create_offer(&account, &stripe_simulator::NewOffer::default());
    learn_of(&app, &second).await;
    app.expect_letter(&second, "held", Some("address_bounced")).await;
    // The same address works no better by being named.
    name(&app, &account, "Jenny@bakery.example").await;
    app.run_due_work().await;
    app.expect_letter(&second, "held", Some("address_bounced")).await;
    name(&app, &account, "owner@bakery.example").await;
    app.run_due_work().await;
    app.expect_delivered(&second).await;
    app.expect_letter(&first, "rejected", Some("address_refused")).await;
    assert_eq!(recipients(&app), ["owner@bakery.example"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_that_gave_up_at_one_address_is_tried_at_another(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_QUEUE__MAX_ATTEMPTS", "2")]).await;
    let offer = app.offer();
    app.relay.fail(Step::To("bakery.example"), Trouble::Say("450 4.2.2 mailbox full"), 100);
    learn_of(&app, &offer).await;
    for _ in 0..4 {
        app.after(TimeDelta::hours(1)).await;
    }
    app.expect_letter(&offer, "held", Some("gave_up")).await;
    name(&app, &account_of(&app, &offer), "owner@garage.example").await;
    app.run_due_work().await;
    app.expect_delivered(&offer).await;
    assert_eq!(recipients(&app), ["owner@garage.example"]);
    app.finish().await;
}

/// The trigger names an address after the sender found none, and before it says so.
#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_address_that_is_named_while_a_letter_is_being_held_is_not_missed(db: PgPool) {
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
    learn_of(&app, &offer).await;
    app.expect_delivered(&offer).await;
    assert_eq!(recipients(&app), ["owner@bakery.example"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_is_held_for_another_reason_stays_held(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_EMAIL__WHEN_UNCERTAIN", "hold")]).await;
    let offer = app.offer();
    app.relay.fail(Step::Dot, Trouble::Drop, 1);
    learn_of(&app, &offer).await;
    app.expect_letter(&offer, "held", Some("uncertain")).await;
    name(&app, &account_of(&app, &offer), "owner@bakery.example").await;
    app.run_due_work().await;
    app.expect_letter(&offer, "held", Some("uncertain")).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_is_no_address_is_refused(db: PgPool) {
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
    assert_eq!(addresses(&app).await, 0);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_named_address_goes_with_the_account_and_when_nobody_was_written_to_for_long(db: PgPool) {
    let app = TestApp::start(db).await;
    let (used, idle) = (app.offer(), "acct_idle");
    let account = account_of(&app, &used);
    name(&app, &account, "owner@bakery.example").await;
    name(&app, idle, "owner@garage.example").await;
    app.clock.advance(TimeDelta::days(10));
    learn_of(&app, &used).await;
    app.clock.advance(TimeDelta::days(360));
    assert!(app.app.erase_now().await.unwrap());
    let left: Vec<String> = sqlx::query_scalar("select account_id from contact_overrides")
        .fetch_all(&app.db)
        .await
        .unwrap();
    assert_eq!(left, [account.as_str()], "the one that was written to within the year");
    let mut tx = app.db.begin().await.unwrap();
    let erased = erase_account(&mut tx, &account, false, app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((erased.contacts, addresses(&app).await), (1, 0));
    app.finish().await;
}
