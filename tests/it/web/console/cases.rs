//! The pages about what waits, an offer, a merchant and an email.

use sqlx::PgPool;
use stripe_simulator::Action;

use super::{Operator, READ_ONLY_TOKEN, TOKEN, TOKENS};
use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble};

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_operator_finds_why_a_merchant_has_no_email_and_sets_an_address(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    let operator = Operator::signed_in(&app, TOKEN).await;
    operator.open("/console/attention").await.expect_says(&["Nothing waits for you"]);
    let offer = app.offer_to(None);
    app.announce(&offer).await;
    let account = app.account_of(&offer);

    let page = operator.open("/console/attention").await;
    page.expect_says(&[
        "1 email is held: Stripe has no address of the account",
        &offer,
        &account,
        "Add an email address",
    ]);
    let page = operator.open(&format!("/console/offers/{offer}")).await;
    page.expect_says(&[
        "No email was sent: it is held since",
        "Stripe has no address",
        "<strong>Set the address</strong> on the merchant's page",
    ]);

    let contact = format!("/console/accounts/{account}/contact");
    let wish = [("address", "owner@bakery.example"), ("reason", "asked by phone")];
    let answer = operator.submit(&contact, &wish).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    app.make_jobs_due().await;
    app.run_due_work().await;
    app.expect_delivered(&offer).await;

    let page = operator.open(&format!("/console/offers/{offer}")).await;
    page.expect_says(&["The email was sent to o***@bakery.example on", "Stripe was told on"]);
    page.expect_says(&["Opt-outs checked"]);
    let page = operator.open(&format!("/console/accounts/{account}")).await;
    page.expect_says(&["contact.set", "Ada", "asked by phone", "queued 1 emails"]);
    operator.open("/console/overview").await.expect_says(&["Nothing waits for a person"]);

    let letter: String = app.one("select letter_id from letters where offer_id = $1", &offer).await;
    let page = operator.open(&format!("/console/emails/{letter}")).await;
    page.expect_says(&["owner@bakery.example", "none needed: test data", "message of attempt 1"]);
    page.expect_says(&["<iframe sandbox=\"\"", "view=raw"]);
    for (view, shown) in [
        ("text", "Rocket Capital"),
        ("headers", "<dt>List-Unsubscribe-Post</dt>"),
        ("raw", "X-PM-Metadata-letter-id"),
    ] {
        let page = operator.open(&format!("/console/emails/{letter}?view={view}")).await;
        page.expect_says(&[shown, "Attempt 1"]);
    }
    let hash: String = app
        .one(
            "select encode(message_sha256, 'hex') from delivery_attempts where offer_id = $1",
            &offer,
        )
        .await;
    let raw = operator.open(&format!("/console/emails/{letter}?view=raw")).await;
    assert_eq!(raw.text.matches(&hash).count(), 2, "{}", raw.text);
    let html = operator.open(&format!("/console/emails/{letter}/html?scheme=dark")).await;
    let policy = html.header("content-security-policy");
    assert!(policy.contains("sandbox") && !policy.contains("allow"), "{policy}");
    assert!(html.text.contains("@media (min-width:0)"), "{}", html.text);
    let message = operator.open(&format!("/console/emails/{letter}/message.eml")).await;
    assert!(message.text.contains("List-Unsubscribe-Post"), "{}", message.text);
    for unknown in ["offers/financingoffer_none", "accounts/acct_none", "emails/letter_none"] {
        assert_eq!(operator.open(&format!("/console/{unknown}")).await.status, 404, "{unknown}");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_comes_from_outside_is_shown_as_text(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    let operator = Operator::signed_in(&app, TOKEN).await;
    let offer = app.offer();
    let reply = "550 5.7.1 <script>alert(1)</script>";
    app.relay.fail(Step::Rcpt(0), Trouble::Say(reply), 1);
    app.announce(&offer).await;
    for path in ["/console/attention".to_owned(), format!("/console/offers/{offer}")] {
        let page = operator.open(&path).await;
        assert!(!page.text.contains("<script>alert"), "{}", page.text);
    }
    operator.open(&format!("/console/offers/{offer}")).await.expect_says(&["&lt;script&gt;"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn acts_are_refused_to_the_read_only_role_and_without_a_reason(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    let offer = app.offer_to(None);
    app.announce(&offer).await;
    let account = app.account_of(&offer);
    let reader = Operator::signed_in(&app, READ_ONLY_TOKEN).await;
    reader
        .open(&format!("/console/accounts/{account}"))
        .await
        .expect_silent_about(&["Erase personal data", "Set the address"]);
    let operator = Operator::signed_in(&app, TOKEN).await;
    let erase = format!("/console/accounts/{account}/erase");
    let confirmed = [("account", account.as_str()), ("reason", "asked for it")];
    for path in [
        format!("/console/offers/{offer}/resend"),
        format!("/console/offers/{offer}/withdraw"),
        "/console/attention/dismiss".to_owned(),
        format!("/console/accounts/{account}/contact"),
        format!("/console/accounts/{account}/opt-out"),
        erase.clone(),
    ] {
        assert_eq!(reader.submit(&path, &confirmed).await.status, 403, "{path}");
        assert_eq!(operator.submit(&path, &[("account", &account)]).await.status, 400, "{path}");
    }
    let unconfirmed = [("account", "acct_other"), ("reason", "asked for it")];
    assert_eq!(operator.submit(&erase, &unconfirmed).await.status, 400);
    app.expect_letter(&offer, "held", Some("no_recipient")).await;

    assert_eq!(operator.submit(&erase, &confirmed).await.status, 303);
    app.expect_letter(&offer, "withdrawn", Some("erased")).await;
    operator
        .open(&format!("/console/accounts/{account}"))
        .await
        .expect_says(&["account.erase", "asked for it"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_reader_gets_no_address_and_no_link_that_acts(db: PgPool) {
    let settings = [
        ("COURIER_HTTP__PUBLIC_URL", "https://courier.example"),
        ("COURIER_BRAND__LOGO_URL", "https://cdn.example/logo.png"),
    ];
    let app = TestApp::start_with(db, &[&TOKENS[..], &settings].concat()).await;
    let offer = app.offer();
    app.announce(&offer).await;
    app.expect_delivered(&offer).await;
    let letter: String = app.one("select letter_id from letters where offer_id = $1", &offer).await;
    let reader = Operator::signed_in(&app, READ_ONLY_TOKEN).await;
    let account = app.account_of(&offer);
    for path in [
        format!("/console/emails/{letter}"),
        format!("/console/emails/{letter}/html"),
        format!("/console/emails/{letter}?view=text"),
        format!("/console/emails/{letter}?view=headers"),
        format!("/console/emails/{letter}?view=raw"),
        format!("/console/offers/{offer}"),
        format!("/console/accounts/{account}"),
    ] {
        let page = reader.open(&path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.text.contains("jenny@bakery.example"), "{path}");
        let links = page.text.split("/unsubscribe/").skip(1);
        assert!(links.clone().all(|rest| rest.starts_with('…')), "{path}");
    }
    let frame = reader.open(&format!("/console/emails/{letter}/html")).await;
    let policy = frame.header("content-security-policy");
    assert!(policy.contains("img-src data: https://cdn.example/logo.png;"), "{policy}");
    let message = format!("/console/emails/{letter}/message.eml");
    assert_eq!(reader.open(&message).await.status, 403);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn odd_text_is_no_outage_and_the_checks_are_a_page(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    let operator = Operator::signed_in(&app, TOKEN).await;
    for (path, status) in [
        ("/console/offers/%00", 404),
        ("/console/accounts/..%2f..%2fx", 404),
        ("/console/emails/a%00b", 404),
        ("/console/search?q=%00", 400),
        ("/console/jobs?kind=%00", 400),
        ("/console/checks", 200),
    ] {
        assert_eq!(operator.open(path).await.status, status, "{path}");
    }
    let odd = [("subject", "letter:\0"), ("reason", "x")];
    assert_eq!(operator.submit("/console/attention/dismiss", &odd).await.status, 409);
    let unknown = [("account", "acct_none"), ("reason", "x")];
    assert_eq!(operator.submit("/console/accounts/acct_none/erase", &unknown).await.status, 404);
    // A link puts no words of its own into a command.
    let page = operator.open("/console/emails?state=held;curl%20x").await;
    page.expect_silent_about(&["--state held;curl"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_replacement_that_stripe_shows_says_why_it_has_no_email(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    let old = app.offer();
    app.announce(&old).await;
    app.stripe.perform(Action::Replace, &old).unwrap();
    let new = app.stripe.offer(&old).unwrap()["replacement"].as_str().unwrap().to_owned();
    let event = app.event(&new, "capital.financing_offer.replacement_created");
    app.stripe_sends(&event).await.expect_kept();
    app.run_due_work().await;
    app.expect_no_letter(&new).await;
    let operator = Operator::signed_in(&app, TOKEN).await;
    let account = app.account_of(&new);
    let why = format!("this offer replaced {old}, and Stripe usually shows a replacement");
    for path in [format!("/console/offers/{new}"), format!("/console/accounts/{account}")] {
        operator.open(&path).await.expect_says(&[&why]);
    }
    for path in ["/console/emails", "/console/attention"] {
        operator.open(path).await.expect_says(&["Stripe usually shows replacements"]);
    }
    operator.open(&format!("/console/offers/{old}")).await.expect_silent_about(&["No email"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn emails_show_their_recipient_their_language_and_why_they_wait(db: PgPool) {
    let app = TestApp::start_with(db, &TOKENS).await;
    let [waiting, bounced] = [app.offer(), app.offer()];
    app.relay.fail(Step::Dot, Trouble::Say("450 4.2.1 <jenny@bakery.example> is busy"), 1);
    app.announce(&waiting).await;
    app.announce(&bounced).await;
    app.bounce_announcement(&bounced).await;
    let letter: String =
        app.one("select letter_id from letters where offer_id = $1", &waiting).await;
    let operator = Operator::signed_in(&app, TOKEN).await;
    let reader = Operator::signed_in(&app, READ_ONLY_TOKEN).await;
    for path in ["/console/emails".to_owned(), format!("/console/emails/{letter}")] {
        let page = operator.open(&path).await;
        page.expect_says(&["jenny@bakery.example", "English", "450 4.2.1", "Times in UTC"]);
        let page = reader.open(&path).await;
        page.expect_says(&["j***@bakery.example", "English", "450 4.2.1"]);
        page.expect_silent_about(&["jenny@bakery.example"]);
    }
    let letter: String =
        app.one("select letter_id from letters where offer_id = $1", &bounced).await;
    let page = operator.open(&format!("/console/emails/{letter}")).await;
    page.expect_says(&["Attempt 1 <span class=\"state bad\">bounced", "it came back later"]);
    app.make_jobs_due().await;
    app.run_due_work().await;
    app.finish().await;
}
