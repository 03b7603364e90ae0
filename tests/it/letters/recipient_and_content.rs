//! The recipient of a letter, its headers, and the reasons to hold it.

use capital_courier::consent::opt_outs::{self, OptOutSource};
use serde_json::{Value, json};
use sqlx::PgPool;
use stripe_simulator::{Fault, FaultKind};

use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble};

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_to_an_account_that_left_is_held(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.stripe.disconnect_account(&app.account_of(&offer));
    app.run_due_work().await;
    app.expect_letter(&offer, "held", Some("not_connected")).await;
    app.expect_untouched(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_has_all_necessary_headers(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;

    let letter = app.expect_delivered(&offer).await;
    assert_eq!(letter.header("From"), "\"Rocket Capital\" <capital@rocket.example>");
    assert_eq!(letter.header("Reply-To"), "help@rocket.example");
    assert_eq!(letter.header("To"), "jenny@bakery.example");
    assert_eq!(letter.header("Bcc"), "", "the blind copy is only in the envelope");
    assert_eq!(letter.header("Date"), "Tue, 24 Nov 2026 12:00:00 +0000");
    assert_eq!(letter.header("Auto-Submitted"), "auto-generated");
    assert!(
        letter.header("Content-Type").starts_with("multipart/alternative"),
        "{}",
        letter.header("Content-Type")
    );
    assert!(letter.header("Message-ID").ends_with("@rocket.example>"));
    assert!(
        letter.bytes.is_ascii()
            && letter.bytes.split(|byte| *byte == b'\n').all(|line| line.len() < 998)
    );
    let message = letter.message();
    assert_eq!((message.text_body_count(), message.html_body_count()), (1, 1));
    assert_eq!(
        message.subject(),
        Some("[Test] You’re prequalified for up to $1,000 in business financing")
    );
    let text = message.body_text(0).unwrap();
    assert!(
        text.contains("https://rocket.example/capital") && text.contains("1 Main Street"),
        "{text}"
    );
    assert!(!text.contains("connect.stripe.com"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn without_a_blind_copy_the_merchant_is_the_only_recipient(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_EMAIL__BCC", "")]).await;
    let offer = app.offer();
    app.announce(&offer).await;
    assert_eq!(app.expect_delivered(&offer).await.to, ["jenny@bakery.example"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_individual_and_then_the_owner_replace_a_missing_address(db: PgPool) {
    let app = TestApp::start(db).await;
    let (individual, owner) = (app.offer_to(None), app.offer_to(Some("  ")));
    app.stripe.edit_account(&app.account_of(&individual), |account| {
        account["individual"] = json!({"email": "sole@trader.example", "first_name": "Sol"});
    });
    let company = app.account_of(&owner);
    app.stripe.add_person(
        &company,
        json!({"id": "person_1", "email": "clerk@shop.example", "relationship": {"owner": false}}),
    );
    app.stripe.add_person(
        &company,
        json!({
            "id": "person_2", "email": "boss@shop.example", "first_name": "Bo",
            "relationship": {"owner": true},
        }),
    );
    for (offer, address, greeting) in [
        (&individual, "sole@trader.example", "Hello Sol,"),
        (&owner, "boss@shop.example", "Hello Bo,"),
    ] {
        app.announce(offer).await;
        let letter = app.expect_delivered(offer).await;
        assert_eq!(letter.to[0], address);
        let text = letter.message().body_text(0).unwrap().into_owned();
        assert!(text.contains(greeting), "{text}");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_address_of_another_person_gets_no_first_name(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let account = app.account_of(&offer);
    app.stripe.edit_account(&account, |account| {
        account["individual"] = json!({"email": "sol@trader.example", "first_name": "Sol"});
    });
    sqlx::query(
        "insert into contact_overrides (account_id, address, updated_at, updated_by)
         values ($1, 'accountant@books.example', $2, 'test')",
    )
    .bind(&account)
    .bind(app.clock.now())
    .execute(&app.db)
    .await
    .unwrap();
    app.announce(&offer).await;
    let letter = app.expect_delivered(&offer).await;
    assert_eq!(letter.to[0], "accountant@books.example");
    let text = letter.message().body_text(0).unwrap().into_owned();
    assert!(text.contains("Hello,") && !text.contains("Sol"), "{text}");
    // The account's and Stripe's offer: a name costs no further call.
    let asked = app.stripe.requests();
    assert!(!asked.iter().any(|request| request.path.contains("/persons")), "{asked:?}");
    app.finish().await;
}

/// The state of a letter to an account whose only address is the public support address.
async fn with_support_address_only(db: PgPool, allowed: &str) -> String {
    let app = TestApp::start_with(db, &[("COURIER_EMAIL__ALLOW_SUPPORT_ADDRESS", allowed)]).await;
    let offer = app.offer_to(None);
    app.stripe.edit_account(&app.account_of(&offer), |account| {
        account["business_profile"]["support_email"] = "support@shop.example".into();
    });
    app.announce(&offer).await;
    let (state, _) = app.letter(&offer).await;
    app.finish().await;
    state
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_public_support_address_is_used_if_allowed(db: PgPool) {
    assert_eq!(Box::pin(with_support_address_only(db, "true")).await, "sent");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_public_support_address_is_not_used_by_default(db: PgPool) {
    assert_eq!(Box::pin(with_support_address_only(db, "false")).await, "held");
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_account_without_any_address_holds_its_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer_to(None);
    app.announce(&offer).await;
    app.expect_letter(&offer, "held", Some("no_recipient")).await;
    app.expect_untouched(&offer).await;
    assert_eq!(app.timeline(&offer).await.last().unwrap(), "letter.held");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_address_that_could_break_a_header_is_not_used(db: PgPool) {
    let app = TestApp::start(db).await;
    for bad in [
        "jenny@bakery.example\r\nBcc: all@evil.example",
        "jenny@bakery.example, all@evil.example",
        "jenny",
        "jénny@x.example",
    ] {
        let offer = app.offer_to(Some(bad));
        app.announce(&offer).await;
        app.expect_letter(&offer, "held", Some("bad_address")).await;
        app.expect_untouched(&offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_malicious_account_name_injects_nothing(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe.edit_account(&app.account_of(&offer), |account| {
        account["business_profile"]["name"] =
            "Bob\r\nBcc: all@evil.example\r\n\r\n{{ 7*7 }}<script>x</script>".into();
    });
    app.announce(&offer).await;
    let letter = app.expect_delivered(&offer).await;
    assert_eq!((letter.to.len(), letter.header("Bcc")), (2, String::new()));
    let message = letter.message();
    assert!(!message.body_html(0).unwrap().contains("<script"));
    let text = message.body_text(0).unwrap();
    let text: Vec<&str> = text.split_whitespace().collect();
    assert!(text.join(" ").contains("{{ 7*7 }}<script>x</script>)"), "{text:?}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_without_terms_or_an_end_date_is_held(db: PgPool) {
    let app = TestApp::start(db).await;
    for missing in ["offered_terms", "expires_after"] {
        let offer = app.offer();
        app.stripe.edit_offer(&offer, |offer| offer[missing] = Value::Null);
        let mut event = app.created(&offer);
        event["data"]["object"].as_object_mut().unwrap().remove(missing);
        app.stripe_sends(&event).await.expect_kept();
        app.run_due_work().await;
        app.expect_letter(&offer, "held", Some("no_terms")).await;
        app.expect_untouched(&offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_with_implausible_terms_is_held(db: PgPool) {
    let app = TestApp::start(db).await;
    for (term, value) in [
        ("withhold_rate", json!(65_076_826)),
        ("withhold_rate", json!(0)),
        ("withhold_rate", json!(1e-300)),
        ("withhold_rate", json!(0.000_04)),
        ("advance_amount", json!(0)),
        ("advance_amount", json!(i64::MAX)),
        ("fee_amount", json!(-1)),
        ("currency", json!("")),
        ("currency", json!("<script>")),
        ("currency", json!("u\u{202e}")),
        ("currency", json!("u".repeat(10_000))),
    ] {
        let offer = app.offer();
        app.stripe.edit_offer(&offer, |offer| offer["offered_terms"][term] = value.clone());
        app.announce(&offer).await;
        app.expect_letter(&offer, "held", Some("bad_terms")).await;
        app.expect_untouched(&offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_about_an_unknown_product_is_held(db: PgPool) {
    let app = TestApp::start(db).await;
    for (product, held) in
        [(json!("line_of_credit"), true), (json!("something_new"), true), (Value::Null, false)]
    {
        let offer = app.offer();
        app.stripe.edit_offer(&offer, |offer| {
            (offer["type"], offer["financing_type"]) = (product.clone(), product.clone());
        });
        app.announce(&offer).await;
        if held {
            app.expect_letter(&offer, "held", Some("unknown_product")).await;
            app.expect_untouched(&offer).await;
        } else {
            app.expect_delivered(&offer).await;
        }
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_unknown_to_stripe_holds_its_letter(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    let fault = FaultKind::Error { status: 404, code: "resource_missing", headers: vec![] };
    app.stripe.inject(Fault { method: "GET", path: "financing_offers", times: 1, kind: fault });
    app.announce(&offer).await;
    app.expect_letter(&offer, "held", Some("gave_up")).await;
    app.expect_untouched(&offer).await;
    let error: String = app.one("select last_error from jobs where state = $1", "dead").await;
    assert!(error.contains("404 resource_missing"), "{error}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_opt_out_stops_later_and_waiting_letters(db: PgPool) {
    let app = TestApp::start(db).await;
    let before = app.offer();
    app.opts_out(&app.account_of(&before)).await;
    app.announce(&before).await;
    let waiting = app.offer();
    app.relay.fail(Step::Rcpt(0), Trouble::Say("450 4.2.1 later"), 1);
    app.announce(&waiting).await;
    app.expect_letter(&waiting, "waiting", None).await;
    app.opts_out(&app.account_of(&waiting)).await;
    app.expect_letter(&waiting, "suppressed", Some("opted_out")).await;
    app.after(chrono::TimeDelta::hours(1)).await;
    for offer in [&before, &waiting] {
        app.expect_letter(offer, "suppressed", Some("opted_out")).await;
        app.expect_untouched(offer).await;
    }
    let account = app.account_of(&before);
    let now = app.clock.now();
    let end = async |made_by: &[OptOutSource]| {
        opt_outs::store::end(&app.db, &account, made_by, OptOutSource::Operator, now).await.unwrap()
    };
    assert!(!end(&OptOutSource::BY_LINK).await, "an operator's opt-out does not end by a link");
    assert!(end(OptOutSource::ALL).await);
    let again = app.stripe.create_offer(&account, &stripe_simulator::NewOffer::default());
    app.announce(&again).await;
    app.expect_delivered(&again).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_in_an_unknown_state_is_left_to_newer_replicas(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.stripe_sends(&app.created(&offer)).await.expect_kept();
    app.app.read_inbox().await.unwrap();
    for statement in [
        "alter table letters drop constraint letters_state",
        "update letters set state = 'scheduled'",
    ] {
        sqlx::query(statement).execute(&app.db).await.unwrap();
    }
    app.run_due_work().await;
    let (state, attempt, error): (String, i32, String) =
        sqlx::query_as("select state, attempt, last_error from jobs where kind = 'send_letter'")
            .fetch_one(&app.db)
            .await
            .unwrap();
    assert_eq!((state.as_str(), attempt), ("queued", 0), "{error}");
    assert!(error.contains("does not know the letter state `scheduled`"), "{error}");
    app.expect_untouched(&offer).await;
    app.abandon();
}
