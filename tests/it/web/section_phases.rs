//! The Capital section in each phase of an offer, from the letter to the last payment.

use serde_json::json;
use sqlx::PgPool;
use stripe_simulator::{Action, ChargeKind, Fault, FaultKind, NewCharge, NewOffer, PaymentSource};

use super::section::Offer;
use crate::support::TestApp;
use crate::support::browser::{Browser, cookie_of, delivered, press, tag, token};
use crate::support::stripe::Stub;

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_offer_is_shown_in_each_phase(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = delivered(&app).await;
    let browser = Browser::signed_in(&app, &account).await;
    let open = browser.open("/capital").await;
    open.expect_says(&[
        "You’re prequalified for up to $1,000",
        "Flat fee",
        "$100.00",
        "15%",
        "December\u{a0}24, 2026",
        "subject to review prior to approval",
        &format!("href=\"/capital/apply?for={}\"", tag(&account)),
    ]);
    open.expect_silent_about(&["Transactions", "remaining"]);

    press(&app, &offer, Action::Apply, "accepted").await;
    let review = browser.open("/capital").await;
    let way_on = format!("href=\"/capital/report?for={}\"", tag(&account));
    review.expect_says(&["Your application is under review", &way_on]);
    review.expect_silent_about(&["prequalified", "/capital/apply"]);

    press(&app, &offer, Action::Approve, "paid_out").await;
    tell_transactions(&app, &account).await;
    let begun = browser.open("/capital").await;
    begun.expect_says(&[
        "<strong>$1,100.00</strong> remaining",
        "role=\"img\"",
        "of $1,100.00",
        "What happens next",
        "+$1,100.00",
    ]);
    begun.expect_silent_about(&["add up to"]);

    // The stored summary is current until an event of the account arrives.
    app.clock.advance(chrono::TimeDelta::seconds(1));
    browser.open("/capital").await.expect_says(&["<strong>$1,100.00</strong> remaining"]);
    sell(&app, &account, 100_000);
    browser.open("/capital").await.expect_says(&["<strong>$1,100.00</strong> remaining"]);
    app.clock.advance(chrono::TimeDelta::seconds(1));
    tell_transactions(&app, &account).await;
    let progress = browser.open("/capital").await;
    progress.expect_says(&[
        "<strong>$950.00</strong> remaining",
        "<strong>$150.00</strong> paid",
        "This payment period",
        "Portion of sales",
        "\u{2212}$150.00",
    ]);
    progress.expect_silent_about(&["add up to", "Paydown", "your loan"]);

    press(&app, &offer, Action::Repay, "fully_repaid").await;
    tell_transactions(&app, &account).await;
    let full = browser.open("/capital").await;
    full.expect_says(&["Your financing is paid in full", "Funds sent on", "\u{2212}$950.00"]);
    full.expect_silent_about(&["</strong> remaining", "under review"]);
    app.finish().await;
}

/// The simulator's events about an account's transactions.
pub async fn tell_transactions(app: &TestApp, account: &str) {
    for event in app.stripe.events() {
        let object = &event["data"]["object"];
        if event["type"] == "capital.financing_transaction.created" && object["account"] == account
        {
            app.stripe_sends(&event).await.expect_kept();
        }
    }
    app.run_due_work().await;
}

pub fn sell(app: &TestApp, account: &str, amount: i64) {
    let sale = NewCharge { amount, kind: ChargeKind::Direct { application_fee: 0 } };
    app.stripe.charge(account, &sale).unwrap();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_difference_from_stripes_summary_is_shown_counted_and_resolved(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = delivered(&app).await;
    for (button, event) in [(Action::Apply, "accepted"), (Action::Approve, "paid_out")] {
        press(&app, &offer, button, event).await;
    }
    tell_transactions(&app, &account).await;
    app.app.read_transactions().await.unwrap();
    // A sale whose event is lost.
    sell(&app, &account, 100_000);
    app.clock.advance(chrono::TimeDelta::minutes(2));
    let browser = Browser::signed_in(&app, &account).await;
    let differing = browser.open("/capital").await;
    differing.expect_says(&[
        "<strong>$950.00</strong> remaining",
        "The transactions that we know of add up to $0.00",
    ]);
    let hour = app.clock.now() + chrono::TimeDelta::hours(1);
    assert_eq!(
        capital_courier::financing::summary::store::differing(&app.db, hour).await.unwrap(),
        1
    );

    // A backfill runs at once and finds the missing transaction.
    app.app.read_transactions().await.unwrap();
    app.clock.advance(chrono::TimeDelta::minutes(2));
    let agreeing = browser.open("/capital").await;
    agreeing.expect_says(&["<strong>$950.00</strong> remaining", "\u{2212}$150.00"]);
    agreeing.expect_silent_about(&["add up to"]);
    assert_eq!(
        capital_courier::financing::summary::store::differing(&app.db, hour).await.unwrap(),
        0
    );

    // While Stripe is unavailable, the page shows the stored amounts and says so.
    app.clock.advance(chrono::TimeDelta::minutes(2));
    app.stripe.inject(Fault {
        method: "GET",
        path: "financing_summary",
        times: 10,
        kind: FaultKind::Error { status: 500, code: "api_error", headers: Vec::new() },
    });
    browser
        .open("/capital")
        .await
        .expect_says(&["Newer figures are not available", "<strong>$950.00</strong> remaining"]);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_monthly_statement_is_a_page_and_a_csv_file(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = delivered(&app).await;
    for (button, event) in [(Action::Apply, "accepted"), (Action::Approve, "paid_out")] {
        press(&app, &offer, button, event).await;
    }
    sell(&app, &account, 100_000);
    tell_transactions(&app, &account).await;
    let browser = Browser::signed_in(&app, &account).await;
    let month = browser.open("/capital/statement").await;
    month.expect_says(&[
        "Monthly statement",
        "<h1>November 2026</h1>",
        "America/New_York",
        "Nov\u{a0}24",
        "+$1,100.00",
        "\u{2212}$150.00",
        "Remaining at the start</dt><dd>$0.00",
        "Remaining now</strong></dt><dd>$950.00",
        "<option value=\"2026\">All of 2026</option>",
        "<option value=\"2026-11\" selected>November 2026</option>",
    ]);
    let year = browser.open("/capital/statement?period=2026").await;
    year.expect_says(&["Annual statement", "<h1>2026</h1>", "November 2026</th>", "$950.00"]);
    let file = browser.open("/capital/statement.csv?period=2026").await;
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"capital-2026.csv\"");
    // A month without transactions has the balance of the one before.
    app.clock.advance(chrono::TimeDelta::days(20));
    let browser = sign_in(&app, &account, "later").await;
    let december = browser.open("/capital/statement?period=2026-12").await;
    december.expect_says(&["Remaining at the start</dt><dd>$950.00", "There are no transactions"]);
    // By default, the last month with transactions.
    browser.open("/capital/statement").await.expect_says(&["<h1>November 2026</h1>"]);
    let file = browser.open("/capital/statement.csv?month=2026-11").await;
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"capital-2026-11.csv\"");
    assert_eq!(
        file.text,
        "date,currency,financing_and_fee,withheld,paid_otherwise,paid,transactions,unclear,\
         discounted\r\n\
         2026-11-24,USD,1100.00,150.00,0.00,150.00,2,0,0.00\r\n"
    );
    browser
        .open("/capital/statement?month=2026-10")
        .await
        .expect_says(&["There are no transactions in this month"]);
    // Instead of an invalid or future one, the last month with transactions is shown.
    for odd in ["2027-01", "x", "0001-01", "99999-12", "2026-11-01"] {
        let shown = browser.open(&format!("/capital/statement?month={odd}")).await;
        shown.expect_says(&["November\u{a0}1, 2026"]);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_statement_has_contacts_and_the_disclaimers_of_its_offers(db: PgPool) {
    let (stub, url) = Stub::start().await;
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__API_BASE", url.as_str())]).await;
    let found = json!({"id": "acct_1", "object": "account", "country": "GB"});
    stub.answer("/v1/accounts/", 200, found);
    let celtic = "celtic_us_loan";
    let youlend = "youlend_uk_mca";
    for (account, offers, variants) in [
        ("acct_1", &[("flex_loan", celtic)][..], &[celtic][..]),
        ("acct_2", &[("cash_advance", youlend)], &[youlend]),
        ("acct_3", &[("flex_loan", celtic), ("fixed_term_loan", celtic)], &[celtic]),
        ("acct_4", &[("cash_advance", youlend), ("flex_loan", celtic)], &[celtic, youlend]),
        ("acct_5", &[], &[youlend]),
    ] {
        for (number, (financing_type, disclaimer)) in offers.iter().enumerate() {
            let id = format!("financingoffer_{account}_{number}");
            let (financing_type, disclaimer) = (Some(*financing_type), Some(*disclaimer));
            let status = ["paid_out", "fully_repaid"][number];
            let offer =
                Offer { id: &id, account, status, financing_type, disclaimer, ..Offer::default() };
            offer.receive(&app).await;
            let id = format!("cptxn_{account}_{number}");
            offer.moves(&app, &id, ("payment", Some("automatic_withholding")), 1_500).await;
        }
        if offers.is_empty() {
            let offer = Offer { id: "financingoffer_gone", account, ..Offer::default() };
            offer.moves(&app, "cptxn_gone", ("payment", None), 1_500).await;
        }
        let page = Browser::signed_in(&app, account).await.open("/capital/statement").await;
        page.expect_says(&["write to", "capital+support@stripe.com"]);
        for variant in [celtic, youlend] {
            let is_shown = page.text.contains(&format!("disclaimer {variant} that"));
            assert_eq!(is_shown, variants.contains(&variant), "{account} {variant}: {}", page.text);
        }
    }
    app.abandon();
}

/// Signs in by a token with its own id.
async fn sign_in<'a>(app: &'a TestApp, account: &str, link: &str) -> Browser<'a> {
    let browser = Browser::new(app);
    let entered = browser.open(&format!("/capital?token={}", token(app, account, link))).await;
    Browser { cookie: cookie_of(&entered), ..browser }
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_outcome_of_an_offer_is_shown(db: PgPool) {
    let app = TestApp::start(db).await;
    for (buttons, words) in [
        (
            &[(Action::Apply, "accepted"), (Action::Reject, "rejected")][..],
            "Your application was not approved",
        ),
        (
            &[(Action::Apply, "accepted"), (Action::Cancel, "canceled")],
            "Your financing was canceled",
        ),
        (&[(Action::Expire, "expired")], "Your offer has expired"),
    ] {
        let (offer, account) = delivered(&app).await;
        for (button, event) in buttons {
            press(&app, &offer, *button, event).await;
        }
        sign_in(&app, &account, &offer).await.open("/capital").await.expect_says(&[words]);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_financing_canceled_after_the_payout_is_not_owed(db: PgPool) {
    let app = TestApp::start(db).await;
    // The payout's reversal arrives with the cancellation, without it, or never.
    for (says_canceled, says_reversed) in [(true, true), (true, false), (false, true)] {
        let (offer, account) = delivered(&app).await;
        press(&app, &offer, Action::Apply, "accepted").await;
        press(&app, &offer, Action::Approve, "paid_out").await;
        tell_transactions(&app, &account).await;
        let browser = sign_in(&app, &account, &offer).await;
        browser.open("/capital").await.expect_says(&["<strong>$1,100.00</strong> remaining"]);

        app.clock.advance(chrono::TimeDelta::seconds(1));
        app.stripe.perform(Action::Cancel, &offer).unwrap();
        if !says_canceled {
            // Stripe is unavailable: only the transactions show it.
            let down = FaultKind::Error { status: 500, code: "api_error", headers: Vec::new() };
            for path in ["financing_offers/", "financing_summary", "financing_transactions"] {
                app.stripe.inject(Fault { method: "GET", path, times: 100, kind: down.clone() });
            }
        }
        let events = app.stripe.events();
        let of_offer = |event: &&serde_json::Value| {
            let object = &event["data"]["object"];
            let is_canceled = object["id"] == offer.as_str() && object["status"] == "canceled";
            let is_reversal =
                object["financing_offer"] == offer.as_str() && object["type"] == "reversal";
            is_canceled && says_canceled || is_reversal && says_reversed
        };
        for event in events.iter().filter(of_offer) {
            app.stripe_sends(event).await.expect_kept();
        }
        app.app.read_inbox().await.unwrap();
        let shown = browser.open("/capital").await;
        shown.expect_says(&["Your financing was canceled"]);
        shown.expect_silent_about(&[
            "</strong> remaining",
            "In progress",
            "goes to your financing",
        ]);
        let totals = capital_courier::financing::ledger::store::totals(
            &mut app.db.acquire().await.unwrap(),
            &account,
            None,
        )
        .await
        .unwrap();
        assert_eq!(totals.iter().map(|totals| totals.remaining_minor).sum::<i64>(), 0);

        app.stripe.clear_faults();
        app.after(chrono::TimeDelta::hours(2)).await;
        app.app.read_transactions().await.unwrap();
        let now = app.clock.now();
        assert_eq!(
            capital_courier::financing::summary::store::differing(&app.db, now).await.unwrap(),
            0
        );
        let status: String =
            app.one("select status from financing_offers where offer_id = $1", &offer).await;
        assert_eq!(status, "canceled");

        // A later offer is shown alone.
        let next = app.stripe.create_offer(&account, &NewOffer::default());
        app.stripe_sends(&app.created(&next)).await.expect_kept();
        app.run_due_work().await;
        app.expect_delivered(&next).await;
        let browser = sign_in(&app, &account, &next).await;
        let shown = browser.open("/capital").await;
        shown.expect_says(&["You’re prequalified for up to $1,000"]);
        shown.expect_silent_about(&["</strong> remaining", "In progress", "was canceled"]);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_page_is_in_the_readers_language(db: PgPool) {
    let app = TestApp::start(db).await;
    let (_, account) = delivered(&app).await;
    let mut browser = Browser::signed_in(&app, &account).await;
    for (language, words) in [
        ("de-AT,de;q=0.9", ["Sie sind vorqualifiziert", "Antrag beginnen"]),
        ("fr-FR", ["Votre entreprise est préqualifiée", "Commencer votre demande"]),
        ("nl, de;q=0.5", ["Sie sind vorqualifiziert", "Antrag beginnen"]),
        ("nl", ["You’re prequalified", "Start your application"]),
    ] {
        browser.language = language;
        browser.open("/capital").await.expect_says(&words);
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_last_completed_financing_is_a_card_and_earlier_ones_a_list(db: PgPool) {
    let (stub, url) = Stub::start().await;
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__API_BASE", url.as_str())]).await;
    let found = json!({"id": "acct_1", "object": "account", "country": "US"});
    stub.answer("/v1/accounts/", 200, found);
    for (id, days) in [("financingoffer_1", 280), ("financingoffer_2", 10)] {
        let offer = Offer { id, status: "fully_repaid", ..Offer::default() };
        offer.receive(&app).await;
        offer.moves(&app, &format!("cptxn_{id}_1"), ("payout", None), 110_000).await;
        app.clock.advance(chrono::TimeDelta::days(days));
        let paid = ("payment", Some("user_initiated"));
        offer.moves(&app, &format!("cptxn_{id}_2"), paid, 110_000).await;
        app.clock.advance(chrono::TimeDelta::days(1));
    }
    let browser = Browser::signed_in(&app, "acct_1").await;
    let page = browser.open("/capital").await;
    page.expect_says(&[
        "Your financing is paid in full",
        "$1,100.00 in 10 days",
        "Earlier financings",
        "Financing of Nov 24, 2026",
        "Paid in full on August\u{a0}31, 2027",
    ]);
    page.expect_silent_about(&["in 280 days"]);
    let one = "/capital/statement?period=2026&financing=financingoffer_1";
    let one = browser.open(one).await;
    one.expect_says(&[
        "Financing of Nov 24, 2026",
        "Remaining at the end</strong></dt><dd>$1,100.00",
    ]);

    // While another one runs, all completed ones are in the list.
    let running = Offer { id: "financingoffer_3", status: "paid_out", ..Offer::default() };
    running.receive(&app).await;
    running.moves(&app, "cptxn_3", ("payout", None), 110_000).await;
    let page = browser.open("/capital").await;
    page.expect_says(&["<strong>$1,100.00</strong> remaining", "Earlier financings"]);
    page.expect_silent_about(&["in 10 days"]);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_refill_says_what_it_would_leave_of_its_full_amount(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = delivered(&app).await;
    for (button, event) in [(Action::Apply, "accepted"), (Action::Approve, "paid_out")] {
        press(&app, &offer, button, event).await;
    }
    app.clock.advance(chrono::TimeDelta::days(1));
    app.stripe.pay(&offer, 88_000, PaymentSource::BankAccount).unwrap();
    tell_transactions(&app, &account).await;
    let refill = app.stripe.create_refill(&account, &NewOffer::default());
    app.announce(&refill).await;
    app.expect_delivered(&refill).await;
    let browser = Browser::signed_in(&app, &account).await;
    // Of $1,000, what remains of the running one: $220.
    let net = "you would receive about $780 once your current financing is complete";
    browser.open("/capital").await.expect_says(&[net]);
    press(&app, &refill, Action::Apply, "accepted").await;
    browser.open("/capital").await.expect_says(&[net]);
    press(&app, &refill, Action::Approve, "paid_out").await;
    browser.open("/capital").await.expect_silent_about(&["you would receive about"]);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_counteroffer_says_that_the_application_was_reviewed(db: PgPool) {
    let app = TestApp::start(db).await;
    let (offer, account) = delivered(&app).await;
    press(&app, &offer, Action::Apply, "accepted").await;
    app.stripe.perform(Action::Counter, &offer).unwrap();
    for event in app.stripe.events() {
        app.stripe_sends(&event).await.expect_kept();
    }
    app.run_due_work().await;
    let page = Browser::signed_in(&app, &account).await.open("/capital").await;
    page.expect_says(&[
        "Your updated offer",
        "Your application was reviewed. This offer takes the place of the one that you applied for.",
        "Start your application",
    ]);
    page.expect_silent_about(&["an earlier one", "was not approved", "under review"]);
    app.abandon();
}
