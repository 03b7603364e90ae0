//! What the Capital section says of an account, and what it must not say.

use std::collections::BTreeSet;

use capital_courier::flow::email::FinancingType;
use capital_courier::flow::email::lint::{Rules, Specimen, check};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::portal::{Browser, Shown};
use crate::support::TestApp;
use crate::support::stripe::Stub;

/// An offer, as Stripe has told of it.
struct Offer<'a> {
    id: &'a str,
    account: &'a str,
    livemode: bool,
    status: &'a str,
    financing_type: Option<&'a str>,
    product_type: &'a str,
    disclaimer: Option<&'a str>,
    /// How long ago it was made.
    days_old: i32,
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
    async fn told(&self, app: &TestApp) {
        sqlx::query(
            "insert into financing_offers (offer_id, account_id, livemode, status, status_rank, product_type, financing_type,
                 disclaimer_variant, currency, advance_minor, fee_minor, withhold_rate, object, created_at, expires_at, first_seen_at,
                 object_as_of)
             values ($1, $2, $3, $4, 50, $5, $6, $7, 'usd', 100000, 10000, 0.15, '{}', $8 - $9 * interval '1 day',
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

    /// A movement of it, as Stripe has told of it.
    async fn moves(&self, app: &TestApp, id: &str, (kind, reason): (&str, Option<&str>), minor: i64) {
        sqlx::query(
            "insert into financing_transactions (transaction_id, account_id, offer_id, livemode, type, reason, currency, total_minor,
                 object, created_at, first_seen_at)
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

/// Stripe's summary of a financing that began twenty days ago.
fn summary(app: &TestApp, offer: &str, paid_minor: i64) -> Value {
    let day = 86_400;
    let now = app.clock.now().timestamp();
    json!({
        "object": "capital.financing_summary", "status": "accepted", "financing_offer": offer,
        "details": {
            "advance_amount": 100_000, "fee_amount": 10_000, "paid_amount": paid_minor, "remaining_amount": 110_000 - paid_minor,
            "currency": "usd", "withhold_rate": 0.15, "advance_paid_out_at": now - 20 * day, "repayments_begin_at": now - 15 * day,
            "current_repayment_interval": {"due_at": now + 40 * day, "paid_amount": 100, "remaining_amount": 12_000},
        },
    })
}

/// The page between its head and the disclaimers.
fn body(page: &Shown) -> &str {
    page.text.split("<main").nth(1).unwrap().split("</main").next().unwrap()
}

/// What a reader of it reads.
fn words(page: &Shown) -> String {
    let texts = body(page).split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text);
    let text = texts.collect::<Vec<_>>().join(" ").replace("&#x27;", "'").replace("&amp;", "&");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the rules for letters find in a page, but for what only a letter must have.
fn findings(page: &Shown, language: &str, financing: FinancingType, status: &str) -> BTreeSet<String> {
    let rules = Rules::built_in().unwrap();
    let text = words(page);
    let specimen = Specimen {
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
        recipient: "",
    };
    let is_for_letters = |rule: &str| {
        ["advertisement", "link-nowhere", "parts-differ"].contains(&rule) || rule.ends_with("-missing")
    };
    // Beside an offer alone; and that an application was not approved is said plainly.
    let is_excused = |rule: &str| match rule {
        "review-sentence" | "business-purposes" => status != "delivered",
        "approved" => status == "rejected",
        _ => false,
    };
    let found = check(&rules, &specimen).into_iter();
    let found = found.filter(|finding| !is_for_letters(&finding.rule) && !is_excused(&finding.rule));
    found.map(|finding| format!("{}: {}", finding.rule, finding.found)).collect()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn no_page_says_what_must_not_be_said_of_its_contract_in_any_phase_or_language(db: PgPool) {
    let (stub, url) = Stub::start().await;
    let app = TestApp::start_with(db, &[("COURIER_STRIPE__API_BASE", url.as_str())]).await;
    stub.answer("/v1/accounts/", 200, json!({"id": "acct_1", "object": "account", "country": "US"}));
    let contracts = [
        ("loan", Some("flex_loan"), FinancingType::Loan),
        ("advance", Some("cash_advance"), FinancingType::CashAdvance),
        ("either", None, FinancingType::Unspecified),
    ];
    let statuses = ["delivered", "accepted", "paid_out", "fully_repaid", "rejected", "canceled", "expired"];
    let mut all = BTreeSet::new();
    for (contract, financing_type, financing) in contracts {
        for status in statuses {
            let (id, account) =
                (format!("financingoffer_{contract}_{status}"), format!("acct_{contract}_{status}"));
            let offer = Offer {
                id: &id,
                account: &account,
                status,
                financing_type,
                product_type: "refill",
                ..Offer::default()
            };
            offer.told(&app).await;
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
