//! What a banner must carry beside an offer.

use capital_courier::web::api::Scope;
use serde_json::{Value, json};
use sqlx::PgPool;
use stripe_simulator::{Action, NewAccount, NewOffer};

use super::api::{Answer, call, key};
use crate::support::TestApp;

const REVIEW: &str = "All financing applications are subject to review prior to approval.";

struct Promoted {
    app: TestApp,
    key: String,
    account: String,
    offer: String,
}

impl Promoted {
    /// An undelivered offer of 10,000 to an account in `country`.
    async fn start(db: PgPool, country: &str, settings: &[(&str, &str)]) -> Self {
        let app = TestApp::start_with(db, settings).await;
        let key = key(&app, &[Scope::FinancingsRead]).await;
        let account = app.stripe.add_account(&NewAccount {
            email: Some("owner@shop.example".to_owned()),
            country: Some(country.to_owned()),
            ..NewAccount::default()
        });
        let offer = app.stripe.create_offer(&account, &NewOffer::default());
        app.stripe_sends(&app.created(&offer)).await.expect_kept();
        app.app.read_inbox().await.unwrap();
        Self { app, key, account, offer }
    }

    async fn copy(&self, query: &str) -> Answer {
        let Self { account, offer, .. } = self;
        let path = format!("/api/v1/accounts/{account}/offers/{offer}/copy{query}");
        call(&self.app, &self.key, "GET", &path, "").await
    }
}

fn values(copy: &Value) -> Vec<&str> {
    let lines = copy["terms"].as_array().unwrap();
    lines.iter().map(|line| line["value"].as_str().unwrap()).collect()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_copy_has_terms_disclaimer_and_review_sentence_in_the_account_language(db: PgPool) {
    let promoted = Promoted::start(db, "US", &[]).await;
    let copy = promoted.copy("").await.expect(200);
    assert_eq!((&copy["offer_id"], &copy["language"]), (&json!(promoted.offer), &json!("en")));
    assert!(copy["review"].as_str().unwrap().starts_with(REVIEW), "{copy}");
    assert_eq!(copy["disclaimer"]["variant"], "celtic_us_loan");
    assert_eq!(copy["disclaimer"]["language"], "en");
    assert_eq!(copy["disclaimer"]["paragraphs"].as_array().unwrap().len(), 1);
    assert_eq!(copy["terms"][0]["label"], "Financing amount");
    let terms = values(&copy);
    assert_eq!(terms.len(), 5, "{copy}");
    assert!(terms[0].starts_with("up to $"), "{copy}");
    assert!(terms[3].ends_with("% of daily sales"), "{copy}");

    let german = promoted.copy("?language=de").await.expect(200);
    assert_eq!(
        (&german["language"], &german["disclaimer"]["language"]),
        (&json!("de"), &json!("de"))
    );
    assert_ne!(german["review"], copy["review"]);
    let [stripe, url] = ["capital+support@stripe.com", "mailto:capital+support@stripe.com"];
    let contact = |text| json!([{ "text": text, "contact": stripe, "url": url }]);
    let text = "If you have a question or a complaint about Rocket Capital, write to";
    assert_eq!(copy["contacts"], contact(text));
    let text = "Bei Fragen oder Beschwerden zu Rocket Capital schreiben Sie an";
    assert_eq!(german["contacts"], contact(text));
    for wrong in ["?language=it", "?language=", "?lang=de"] {
        promoted.copy(wrong).await.expect_refused(400, "bad_query");
    }
    promoted.app.run_due_work().await;
    promoted.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_copy_of_a_refill_says_what_becomes_of_the_running_financing(db: PgPool) {
    let promoted = Promoted::start(db, "US", &[]).await;
    assert_eq!(promoted.copy("").await.expect(200)["refill"], Value::Null);
    let refill = "update financing_offers set product_type = 'refill' where offer_id = $1";
    sqlx::query(refill).bind(&promoted.offer).execute(&promoted.app.db).await.unwrap();
    for (query, text) in [
        ("?language=en", "part of the new financing is used to complete your current financing."),
        ("?language=de", "mit einem Teil der neuen Finanzierung zunächst die aktuelle"),
        ("?language=fr", "une partie du nouveau financement sert d’abord à clôturer"),
    ] {
        let copy = promoted.copy(query).await.expect(200);
        assert!(copy["refill"].as_str().unwrap().contains(text), "{copy}");
    }
    promoted.app.run_due_work().await;
    promoted.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn the_operators_disclaimer_determines_the_language(db: PgPool) {
    let dir = tempfile::tempdir().unwrap();
    let variant = dir.path().join("youlend_de_financing");
    std::fs::create_dir(&variant).unwrap();
    std::fs::write(variant.join("de.txt"), "Erster Absatz.\n\nZweiter Absatz.").unwrap();
    let settings = [
        ("COURIER_EMAIL__DISCLAIMERS_DIR", dir.path().to_str().unwrap()),
        ("COURIER_CAPITAL__SUPPORT_CONTACT", "https://rocket.example/help"),
    ];
    let promoted = Promoted::start(db, "DE", &settings).await;
    for query in ["", "?language=fr"] {
        let copy = promoted.copy(query).await.expect(200);
        assert_eq!(copy["language"], "de");
        let paragraphs = json!(["Erster Absatz.", "Zweiter Absatz."]);
        assert_eq!(copy["disclaimer"]["paragraphs"], paragraphs);
        assert!(values(&copy)[0].contains('€'), "{copy}");
        let contacts = copy["contacts"].as_array().unwrap().iter();
        let contacts: Vec<_> = contacts.map(|line| (&line["text"], &line["url"])).collect();
        let [question, complaint] =
            ["Bei Fragen zu Rocket Capital besuchen Sie", "Bei Beschwerden schreiben Sie an"]
                .map(|text| json!(text));
        let [help, provider] =
            ["https://rocket.example/help", "mailto:stripe-assistance@youlend.com"]
                .map(|url| json!(url));
        assert_eq!(contacts, [(&question, &help), (&complaint, &provider)]);
    }
    promoted.app.run_due_work().await;
    promoted.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn without_an_approved_disclaimer_there_is_no_copy_of_a_real_offer(db: PgPool) {
    let promoted = Promoted::start(db, "US", &[]).await;
    let offer = &promoted.offer;
    let live = "update financing_offers set livemode = true where offer_id = $1";
    sqlx::query(live).bind(offer).execute(&promoted.app.db).await.unwrap();
    promoted.copy("").await.expect_refused(409, "no_disclaimer");
    promoted.app.run_due_work().await;
    promoted.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_foreign_or_ended_offer_has_no_copy(db: PgPool) {
    let promoted = Promoted::start(db, "US", &[]).await;
    let Promoted { app, key, account, offer } = &promoted;
    for path in [
        format!("acct_other/offers/{offer}"),
        format!("{account}/offers/financingoffer_unknown"),
        format!("{account}/offers/nonsense"),
    ] {
        call(app, key, "GET", &format!("/api/v1/accounts/{path}/copy"), "")
            .await
            .expect_refused(404, "not_found");
    }
    app.run_due_work().await;
    promoted.copy("").await.expect(200);
    app.stripe.perform(Action::Apply, offer).unwrap();
    app.stripe_sends(&app.event(offer, "capital.financing_offer.accepted")).await.expect_kept();
    app.run_due_work().await;
    promoted.copy("").await.expect_refused(409, "nothing_to_promote");
    promoted.app.run_due_work().await;
    promoted.app.finish().await;
}
