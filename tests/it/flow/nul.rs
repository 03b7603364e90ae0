//! Postgres cannot store a NUL in text. One from Stripe or a relay neither loses data nor causes
//! retries.

use chrono::TimeDelta;
use serde_json::json;
use sqlx::PgPool;
use stripe_simulator::Action;

use crate::support::TestApp;
use crate::support::browser::{Browser, press};
use crate::support::smtp::{Step, Trouble as SmtpTrouble};
use crate::web::section_phases::tell_transactions;

/// An offer and its account with a NUL in every field that decides nothing.
fn offer(app: &TestApp) -> (String, String) {
    let offer = app.offer();
    app.stripe.edit_offer(&offer, |offer| {
        offer["metadata"] = json!({"k\0ey": "v\0alue"});
        offer["offered_terms"]["note"] = json!("\0");
        offer["something_new"] = json!(["\0"]);
    });
    let account = app.stripe.offer(&offer).unwrap()["account"].as_str().unwrap().to_owned();
    app.stripe.edit_account(&account, |account| {
        account["metadata"] = json!({"k": "\0"});
        account["business_profile"]["name"] = json!("Jen\0ny's Bakery");
        account["country"] = json!("U\0");
    });
    (offer, account)
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_with_a_nul_is_emailed_marked_and_shown(db: PgPool) {
    let app = TestApp::start(db).await;
    for by_event in [true, false] {
        let (offer, account) = offer(&app);
        if by_event {
            let created = app.stripe.emit("capital.financing_offer.created", &offer);
            app.stripe_sends(&created).await.expect_kept();
        } else {
            app.stripe.clear_events();
            assert!(app.app.reconcile_now().await.unwrap());
        }
        app.run_due_work().await;
        app.expect_delivered(&offer).await;
        assert_eq!(app.calls_to_mark().iter().filter(|call| call.path.contains(&offer)).count(), 1);
        let kept: String =
            app.one("select response_body::text from deliveries where offer_id = $1", &offer).await;
        assert!(kept.contains(r"v\u0000alue"), "{kept}");
        for (action, event) in [(Action::Apply, "accepted"), (Action::Approve, "paid_out")] {
            press(&app, &offer, action, event).await;
        }
        tell_transactions(&app, &account).await;
        let browser = Browser::signed_in(&app, &account).await;
        browser.open("/capital").await.expect_says(&["$1,100.00 remaining"]);
    }
    let skipped: i64 = app
        .one(
            "select coalesce(sum(unreadable), 0)::bigint from reconcile_runs where state <> $1",
            "",
        )
        .await;
    assert_eq!((app.events_in_state("unreadable").await, skipped), (0, 0));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_transaction_with_a_nul_is_stored(db: PgPool) {
    let app = TestApp::start(db).await;
    let told = crate::financing::ledger::TransactionEvent {
        id: "cptxn_1",
        offer: crate::financing::ledger::OFFER,
        kind: "payout",
        reason: None,
        total: 110_000,
        reverses: None,
    };
    let mut event = told.event("acct_1");
    event["data"]["object"]["user_facing_description"] = json!("a\0b");
    app.stripe_sends(&event).await.expect_kept();
    app.run_due_work().await;
    let kept: String = app
        .one("select object::text from financing_transactions where transaction_id = $1", "cptxn_1")
        .await;
    assert!(kept.contains(r"a\u0000b"), "{kept}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_nul_in_a_relay_reply_does_not_lose_it(db: PgPool) {
    let app = TestApp::start(db).await;
    for (step, answer, state) in [
        (Step::Dot, "250 2.0.0 ta\0ken", "sent"),
        (Step::Dot, "554 5.7.1 n\0o", "rejected"),
        (Step::Rcpt(0), "450 4.2.1 la\0ter", "waiting"),
    ] {
        let offer = app.offer();
        app.relay.fail(step, SmtpTrouble::Say(answer), 1);
        app.stripe_sends(&app.created(&offer)).await.expect_kept();
        app.run_due_work().await;
        let (found, _) = app.letter(&offer).await;
        assert_eq!(found, state, "{answer:?}");
        let claimed = capital_courier::queue::claimed_count(&app.db, "send_letter").await.unwrap();
        assert_eq!(claimed, 0, "{answer:?}: the outcome was not recorded");
    }
    app.after(TimeDelta::minutes(1)).await;
    app.abandon();
}
