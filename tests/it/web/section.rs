//! The wording of the Capital section: required and forbidden statements.

use std::collections::BTreeSet;

use axum::http::Method;
use capital_courier::format::locale::Language;
use capital_courier::letters::lint::{Input, Rules, check};
use capital_courier::letters::wording::approvals::{self, Approval, ApprovalFilter, Withdrawal};
use capital_courier::stripe::Contract;
use capital_courier::web::portal;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::browser::{Browser, PageResponse};
use crate::support::stripe::Stub;

/// An offer to receive from Stripe.
pub struct Offer<'a> {
    pub id: &'a str,
    pub account: &'a str,
    pub livemode: bool,
    pub status: &'a str,
    pub financing_type: Option<&'a str>,
    pub product_type: &'a str,
    pub disclaimer: Option<&'a str>,
    /// Its age.
    pub days_old: i32,
}

impl Default for Offer<'_> {
    fn default() -> Self {
        Self {
            id: "financingoffer_1",
            account: "acct_1",
            livemode: false,
            status: "delivered",
            financing_type: Some("flex_loan"),
            product_type: "standard",
            disclaimer: Some("celtic_us_loan"),
            days_old: 0,
        }
    }
}

impl Offer<'_> {
    pub async fn receive(&self, app: &TestApp) {
        sqlx::query(
            "insert into financing_offers (offer_id, account_id, livemode, status, product_type,
                 financing_type, disclaimer_variant, currency, advance_minor, fee_minor,
                 withhold_rate, object, created_at, expires_at, first_seen_at,
                 object_as_of)
             values ($1, $2, $3, $4, $5, $6, $7, 'usd', 100000, 10000, 0.15, '{}',
                 $8 - $9 * interval '1 day',
                 $8 + interval '20 days', $8, $8)",
        )
        .bind(self.id)
        .bind(self.account)
        .bind(self.livemode)
        .bind(self.status)
        .bind(self.product_type)
        .bind(self.financing_type)
        .bind(self.disclaimer)
        .bind(app.clock.now())
        .bind(self.days_old)
        .execute(&app.db)
        .await
        .unwrap();
    }

    /// Receives a transaction of it.
    pub(super) async fn moves(
        &self,
        app: &TestApp,
        id: &str,
        (kind, reason): (&str, Option<&str>),
        minor: i64,
    ) {
        sqlx::query(
            "insert into financing_transactions (transaction_id, account_id, offer_id, livemode,
                 type, reason, currency, total_minor, object, created_at, first_seen_at)
             values ($1, $2, $3, $4, $5, $6, 'usd', $7, '{}', $8, $8)",
        )
        .bind(id)
        .bind(self.account)
        .bind(self.id)
        .bind(self.livemode)
        .bind(kind)
        .bind(reason)
        .bind(minor)
        .bind(app.clock.now())
        .execute(&app.db)
        .await
        .unwrap();
    }
}

/// Stripe's summary of a financing that began twenty days ago, with the fields of previews.
fn summary(app: &TestApp, offer: &str, paid_minor: i64) -> Value {
    let day = 86_400;
    let now = app.clock.now().timestamp();
    json!({
        "object": "capital.financing_summary", "status": "accepted", "financing_offer": offer,
        "details": {
            "advance_amount": 100_000, "fee_amount": 10_000, "paid_amount": paid_minor,
            "remaining_amount": 110_000 - paid_minor, "currency": "usd", "withhold_rate": 0.15,
            "advance_paid_out_at": now - 20 * day, "repayments_begin_at": now - 15 * day,
            "total_due_amount": 110_000, "overdue_amount": 2_500,
            "current_repayment_interval": {
                "starts_at": now - 20 * day, "due_at": now + 40 * day,
                "paid_amount": 100, "remaining_amount": 12_000,
            },
        },
    })
}

/// The page between its head and the disclaimers.
fn body(page: &PageResponse) -> &str {
    page.text.split("<main").nth(1).unwrap().split("</main").next().unwrap()
}

/// The visible text.
fn words(page: &PageResponse) -> String {
    let texts = body(page).split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text);
    let text = texts.collect::<Vec<_>>().join(" ").replace("&#x27;", "'").replace("&amp;", "&");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The findings of the copy rules in a page, without those that apply to letters only.
fn findings(
    page: &PageResponse,
    language: &str,
    financing: Contract,
    status: &str,
) -> BTreeSet<String> {
    let rules = Rules::built_in().unwrap();
    let text = words(page);
    let specimen = Input {
        locale: language,
        financing,
        subject: "x",
        text: &text,
        html: body(page),
        disclaimer: &[],
        postal_address: "",
        unsubscribe_url: None,
        reply_to: "",
        program_name: "Rocket Capital",
        platform_name: "Rocket",
        account_name: None,
        first_name: None,
        recipient: "",
    };
    let is_for_letters = |rule: &str| {
        ["active-content", "advertisement", "link-nowhere", "parts-differ"].contains(&rule)
            || rule.ends_with("-missing")
    };
    // Allowed beside an offer only, and in the notice of a rejected application.
    let is_excused = |rule: &str| match rule {
        "review-sentence" | "business-purposes" => !status.ends_with("delivered"),
        "approved" => status == "rejected",
        _ => false,
    };
    let found = check(&rules, &specimen).into_iter();
    let found =
        found.filter(|finding| !is_for_letters(&finding.rule) && !is_excused(&finding.rule));
    found.map(|finding| format!("{}: {}", finding.rule, finding.found)).collect()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn no_page_has_forbidden_wording_in_any_phase_or_language(db: PgPool) {
    let (stub, url) = Stub::start().await;
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__API_BASE", url.as_str())]).await;
    stub.answer(
        "/v1/accounts/",
        200,
        json!({"id": "acct_1", "object": "account", "country": "US"}),
    );
    let contracts = [
        ("loan", Some("flex_loan"), Contract::Loan),
        ("fixed", Some("fixed_term_loan"), Contract::FixedTermLoan),
        ("unknown", Some("line_of_credit"), Contract::Unspecified),
        ("advance", Some("cash_advance"), Contract::CashAdvance),
        ("either", None, Contract::Unspecified),
    ];
    let statuses = [
        "undelivered",
        "delivered",
        "accepted",
        "paid_out",
        "fully_repaid",
        "rejected",
        "canceled",
        "expired",
    ];
    let mut all = BTreeSet::new();
    for (contract, financing_type, financing) in contracts {
        for status in statuses {
            let (id, account) = (
                format!("financingoffer_{contract}_{status}"),
                format!("acct_{contract}_{status}"),
            );
            let offer = Offer {
                id: &id,
                account: &account,
                status,
                financing_type,
                product_type: "refill",
                ..Offer::default()
            };
            offer.receive(&app).await;
            if ["paid_out", "fully_repaid"].contains(&status) {
                offer.moves(&app, &format!("cptxn_{id}"), ("payout", None), 110_000).await;
                for reason in ["automatic_withholding", "collection", "user_initiated", "refill"] {
                    let id = format!("cptxn_{id}_{reason}");
                    offer.moves(&app, &id, ("payment", Some(reason)), 1_500).await;
                }
            }
            stub.answer("/v1/capital/financing_summary", 200, summary(&app, &id, 6_000));
            let mut browser = Browser::signed_in(&app, &account).await;
            for language in ["en", "de", "fr"] {
                browser.language = language;
                for path in ["/capital", "/capital/statement"] {
                    let page = browser.open(path).await;
                    assert_eq!(page.status, 200);
                    let status = if path == "/capital" { status } else { "" };
                    let found = findings(&page, language, financing, status);
                    all.extend(
                        found
                            .into_iter()
                            .map(|found| format!("{language} {path} {contract} {status}: {found}")),
                    );
                }
            }
        }
    }
    assert_eq!(all, BTreeSet::new());
    app.abandon();
}

const LIVE: (&str, &str) = ("STRIPE_API_KEY", "sk_live_courier");

/// A directory with approved disclaimers; the text of each is its own name.
fn approved(variants: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for variant in variants {
        std::fs::create_dir(dir.path().join(variant)).unwrap();
        std::fs::write(dir.path().join(variant).join("en.txt"), format!("What {variant} wants.\n"))
            .unwrap();
    }
    dir
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn test_data_is_hidden_once_the_key_is_live(db: PgPool) {
    let app = TestApp::start_with(db, &[LIVE]).await;
    let test = Offer { status: "paid_out", ..Offer::default() };
    test.receive(&app).await;
    test.moves(&app, "cptxn_test", ("payout", None), 110_000).await;
    let live = Offer {
        id: "financingoffer_2",
        livemode: true,
        status: "fully_repaid",
        ..Offer::default()
    };
    live.receive(&app).await;
    live.moves(&app, "cptxn_live", ("payout", None), 220_000).await;
    let browser = Browser::signed_in(&app, "acct_1").await;
    let page = browser.open("/capital").await;
    page.expect_says(&["Your financing is paid in full"]);
    page.expect_silent_about(&["In progress", "Test mode", "$1,100.00", "Sample for test mode"]);
    let table = browser.open("/capital/statement.csv").await.text;
    assert!(table.contains("2200.00") && !table.contains("3300.00"), "{table}");

    let key = crate::web::api::key(&app, &[capital_courier::web::api::Scope::FinancingsRead]).await;
    let list = async |what: &str| {
        let path = format!("/api/v1/accounts/acct_1/{what}");
        crate::web::api::call(&app, &key, "GET", &path, "").await.expect(200)["data"].clone()
    };
    let offers = list("offers").await;
    assert_eq!(
        (offers.as_array().unwrap().len(), &offers[0]["offer_id"]),
        (1, &json!("financingoffer_2"))
    );
    let transactions = list("transactions").await;
    assert_eq!(
        (transactions.as_array().unwrap().len(), &transactions[0]["transaction_id"]),
        (1, &json!("cptxn_live"))
    );
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_summary_of_the_other_mode_is_fetched_again(db: PgPool) {
    let (stub, url) = Stub::start().await;
    let app = TestApp::start_with(db, &[LIVE, ("COURIER_STRIPE__API_BASE", url.as_str())]).await;
    stub.answer(
        "/v1/accounts/",
        200,
        json!({"id": "acct_1", "object": "account", "country": "US"}),
    );
    stub.answer("/v1/capital/financing_summary", 200, summary(&app, "financingoffer_1", 60_000));
    Offer { livemode: true, status: "paid_out", ..Offer::default() }.receive(&app).await;
    sqlx::query(
        "insert into financing_summaries (account_id, object, as_of, livemode)
         values ('acct_1', $1, $2, false)",
    )
    .bind(summary(&app, "financingoffer_1", 7))
    .bind(app.clock.now())
    .execute(&app.db)
    .await
    .unwrap();
    let browser = Browser::signed_in(&app, "acct_1").await;
    browser.open("/capital").await.expect_says(&["<strong>$500.00</strong> remaining"]);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_open_offer_without_its_disclaimer_is_hidden(db: PgPool) {
    let dir = approved(&["celtic_us_loan"]);
    let texts = ("COURIER_EMAIL__DISCLAIMERS_DIR", dir.path().to_str().unwrap());
    let app = TestApp::start_with(db, &[LIVE, texts]).await;
    Offer { livemode: true, status: "fully_repaid", days_old: 2, ..Offer::default() }
        .receive(&app)
        .await;
    let open = Offer {
        id: "financingoffer_2",
        livemode: true,
        financing_type: Some("cash_advance"),
        disclaimer: Some("youlend_us_mca"),
        ..Offer::default()
    };
    open.receive(&app).await;
    let browser = Browser::signed_in(&app, "acct_1").await;
    let page = browser.open("/capital").await;
    page.expect_says(&["Your offer can’t be shown at the moment", "What celtic_us_loan wants."]);
    page.expect_silent_about(&["Start your application", "Sample", "There is no financing offer"]);

    let dir = approved(&["celtic_us_loan", "youlend_us_mca"]);
    let texts = ("COURIER_EMAIL__DISCLAIMERS_DIR", dir.path().to_str().unwrap());
    let both = app.another_with(&[LIVE, texts]);
    approve_section(&app, &[LIVE, texts], "youlend_us_mca", "US").await;
    let page = browser.ask_at(&both, (Method::GET, "/capital"), &[]).await;
    page.expect_says(&[
        "Start your application",
        "What celtic_us_loan wants.",
        "What youlend_us_mca wants.",
    ]);
    app.abandon();
}

/// Approves the Capital section with this disclaimer for a market.
async fn approve_section(app: &TestApp, settings: &[(&str, &str)], variant: &str, market: &str) {
    let email = app.settings_with(settings).email;
    let disclaimers = capital_courier::app::disclaimers(&email).unwrap();
    let disclaimer = disclaimers.find(Some(variant), None, &[Language::English]).unwrap();
    let copy = portal::copy_id(&email.brand.program_name, &email.contacts, &disclaimer);
    let approval = Approval { market, reference: "CCR-1", approved_by: "compliance" };
    let mut tx = app.db.begin().await.unwrap();
    approvals::approve(&mut tx, &[copy], &approval, app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_open_offer_is_hidden_unless_its_wording_is_approved(db: PgPool) {
    let dir = approved(&["celtic_us_loan"]);
    let settings = [LIVE, ("COURIER_EMAIL__DISCLAIMERS_DIR", dir.path().to_str().unwrap())];
    let app = TestApp::start_with(db, &settings).await;
    Offer { livemode: true, ..Offer::default() }.receive(&app).await;
    let browser = Browser::signed_in(&app, "acct_1").await;
    let hidden = "Your offer can’t be shown at the moment";
    browser.open("/capital").await.expect_says(&[hidden]);
    // An approval for another market does not count.
    approve_section(&app, &settings, "celtic_us_loan", "GB").await;
    browser.open("/capital").await.expect_says(&[hidden]);
    approve_section(&app, &settings, "celtic_us_loan", "US").await;
    browser.open("/capital").await.expect_says(&["Start your application"]);

    let filter = ApprovalFilter { market: Some("US"), ..ApprovalFilter::default() };
    let withdrawal = Withdrawal { reason: "the minimum is missing", withdrawn_by: "ann" };
    let mut tx = app.db.begin().await.unwrap();
    approvals::withdraw(&mut tx, &filter, &withdrawal, app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    browser.open("/capital").await.expect_says(&[hidden]);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn real_merchants_never_see_a_sample_disclaimer(db: PgPool) {
    let app = TestApp::start_with(db, &[LIVE]).await;
    for (number, status) in
        ["delivered", "accepted", "paid_out", "fully_repaid", "expired"].iter().enumerate()
    {
        let (id, account) = (format!("financingoffer_{number}"), format!("acct_{number}"));
        Offer { id: &id, account: &account, livemode: true, status, ..Offer::default() }
            .receive(&app)
            .await;
        let page = Browser::signed_in(&app, &account).await.open("/capital").await;
        assert_eq!(page.status, 200);
        page.expect_silent_about(&["Sample"]);
    }
    Browser::signed_in(&app, "acct_nobody")
        .await
        .open("/capital")
        .await
        .expect_silent_about(&["Sample"]);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn two_cash_advances_show_one_rate_and_no_minimum(db: PgPool) {
    let (stub, url) = Stub::start().await;
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__API_BASE", url.as_str())]).await;
    stub.answer(
        "/v1/accounts/",
        200,
        json!({"id": "acct_1", "object": "account", "country": "GB"}),
    );
    stub.answer("/v1/capital/financing_summary", 200, summary(&app, "financingoffer_2", 6_000));
    let older = Offer {
        status: "paid_out",
        financing_type: Some("cash_advance"),
        days_old: 90,
        ..Offer::default()
    };
    older.receive(&app).await;
    older.moves(&app, "cptxn_1", ("payout", None), 110_000).await;
    older.moves(&app, "cptxn_2", ("payment", Some("collection")), 500).await;
    Offer { id: "financingoffer_2", days_old: 0, ..older }.receive(&app).await;
    sqlx::query(
        "update financing_offers set withhold_rate = 0.2 where offer_id = 'financingoffer_2'",
    )
    .execute(&app.db)
    .await
    .unwrap();
    let page = Browser::signed_in(&app, "acct_1").await.open("/capital").await;
    let said = words(&page);
    assert_eq!(said.matches("of each day’s sales is withheld").count(), 1, "{said}");
    assert!(said.contains("20% of each day’s sales is withheld"), "{said}");
    assert!(said.contains("goes to your earlier financing first"), "{said}");
    assert!(said.contains("Calculated from your transactions"), "{said}");
    assert!(!said.contains("minimum") && !said.contains("Payments begin"), "{said}");
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_written_off_financing_announces_no_payments(db: PgPool) {
    let (stub, url) = Stub::start().await;
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__API_BASE", url.as_str())]).await;
    stub.answer(
        "/v1/accounts/",
        200,
        json!({"id": "acct_1", "object": "account", "country": "US"}),
    );
    stub.answer("/v1/capital/financing_summary", 200, summary(&app, "financingoffer_1", 6_000));
    Offer { status: "paid_out", ..Offer::default() }.receive(&app).await;
    sqlx::query("update financing_offers set charged_off_at = now()")
        .execute(&app.db)
        .await
        .unwrap();
    let page = Browser::signed_in(&app, "acct_1").await.open("/capital").await;
    page.expect_says(&[
        "Please see the details",
        "<strong>$1,040.00</strong> remaining",
        "What happens next is explained",
    ]);
    page.expect_silent_about(&["In progress", "of each day’s sales", "minimum", "earlier"]);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_loan_shows_the_period_and_what_is_open_from_earlier_ones(db: PgPool) {
    let (stub, url) = Stub::start().await;
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__API_BASE", url.as_str())]).await;
    stub.answer("/v1/accounts/", 200, json!({"id": "acct_1", "object": "account"}));
    let open = "$25.00 from earlier payment periods is still open.";
    for (account, financing_type, overdue, total, is_open) in [
        ("acct_1", "flex_loan", json!(2_500), json!(110_000), true),
        ("acct_2", "fixed_term_loan", json!(2_500), json!(null), true),
        ("acct_3", "flex_loan", json!(0), json!(109_000), false),
        ("acct_4", "flex_loan", json!(null), json!("1100.00"), false),
        ("acct_5", "flex_loan", json!(-2_500), json!(0), false),
        ("acct_6", "cash_advance", json!(2_500), json!(110_000), false),
    ] {
        let id = format!("financingoffer_{account}");
        let mut summary = summary(&app, &id, 6_000);
        let details = &mut summary["details"];
        (details["overdue_amount"], details["total_due_amount"]) = (overdue, total);
        details["advance_paid_out_at"] = json!(1_700_000_000);
        let period = &mut details["current_repayment_interval"];
        (period["starts_at"], period["due_at"]) = (json!(1_800_000_000), json!(1_805_184_000));
        stub.answer("/v1/capital/financing_summary", 200, summary);
        let financing_type = Some(financing_type);
        // Of an unknown market.
        let disclaimer = (account != "acct_2").then_some("celtic_us_loan");
        let status = "paid_out";
        Offer { id: &id, account, status, financing_type, disclaimer, ..Offer::default() }
            .receive(&app)
            .await;
        let page = Browser::signed_in(&app, account).await.open("/capital").await;
        let said = words(&page);
        assert_eq!(said.contains(open), is_open, "{account}: {said}");
        assert_eq!(page.text.contains("href=\"#contact\""), is_open, "{account}");
        let shows_period = said.contains("January 15, 2027 – March 15, 2027");
        assert_eq!(shows_period, account != "acct_6", "{account}: {said}");
        // Without a known minimum, nothing is known about a fixed-term loan's withholding.
        let is_explained = said.contains("What happens next is explained in its details.");
        assert_eq!(is_explained, account == "acct_2", "{account}: {said}");
        // A total below what was paid and what remains is implausible.
        page.expect_says(&["$1,040.00", "of $1,100.00"]);
    }
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn stripes_total_counts_even_if_the_rest_is_on_its_way(db: PgPool) {
    let (stub, url) = Stub::start().await;
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__API_BASE", url.as_str())]).await;
    stub.answer("/v1/accounts/", 200, json!({"id": "acct_1", "object": "account"}));
    let mut summary = summary(&app, "financingoffer_1", 6_000);
    summary["details"]["total_due_amount"] = json!(112_000);
    summary["details"]["current_repayment_interval"]["starts_at"] = json!(null);
    stub.answer("/v1/capital/financing_summary", 200, summary);
    Offer { status: "paid_out", ..Offer::default() }.receive(&app).await;
    let page = Browser::signed_in(&app, "acct_1").await.open("/capital").await;
    page.expect_says(&["<strong>$1,040.00</strong> remaining", "of $1,120.00", "$120.00 more by"]);
    page.expect_silent_about(&["class=\"span"]);
    app.abandon();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_section_says_whom_to_ask_and_where_to_complain(db: PgPool) {
    let (stub, url) = Stub::start().await;
    let base = ("COURIER_STRIPE__API_BASE", url.as_str());
    let app = TestApp::start_with(db, &[base]).await;
    let stripe = "<a href=\"mailto:capital+support@stripe.com\">capital+support@stripe.com</a>";
    let both = "If you have a question or a complaint about Rocket Capital, write to";
    for (account, country, language, expected) in [
        ("acct_1", json!("US"), "en", format!("{both} {stripe}")),
        ("acct_2", json!(null), "en", format!("{both} {stripe}")),
        ("acct_3", json!("FR"), "en", format!("{both} {}", stripe_at_youlend())),
        (
            "acct_4",
            json!("DE"),
            "de",
            format!(
                "Bei Fragen oder Beschwerden zu Rocket Capital schreiben Sie an {}",
                stripe_at_youlend()
            ),
        ),
    ] {
        let found = json!({"id": account, "object": "account", "country": country});
        stub.answer("/v1/accounts/", 200, found);
        let mut browser = Browser::signed_in(&app, account).await;
        browser.language = language;
        // Without an offer too: there may have been one.
        browser.open("/capital").await.expect_says(&[&expected]);
    }
    let own = app.another_with(&[
        base,
        ("COURIER_CAPITAL__SUPPORT_CONTACT", "https://rocket.example/help?a=1&b=2"),
        ("COURIER_CAPITAL__COMPLAINTS_CONTACT", "complaints@rocket.example"),
    ]);
    let mut browser = Browser::signed_in(&app, "acct_5").await;
    browser.language = "fr";
    let page = browser.ask_at(&own, (Method::GET, "/capital"), &[]).await;
    let text = page.text.replace("&#x2f;", "/").replace("&amp;", "&");
    for expected in [
        "Pour toute question concernant Rocket Capital, rendez-vous sur <a \
         href=\"https://rocket.example/help?a=1&b=2\">https://rocket.example/help?a=1&b=2</a>.",
        "Pour toute réclamation, écrivez à <a \
         href=\"mailto:complaints@rocket.example\">complaints@rocket.example</a>.",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    page.expect_silent_about(&["@stripe.com", "@youlend.com"]);
    app.abandon();
}

fn stripe_at_youlend() -> &'static str {
    "<a href=\"mailto:stripe-assistance@youlend.com\">stripe-assistance@youlend.com</a>"
}
