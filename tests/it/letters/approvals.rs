//! Live letters go out only with approved wording, and are released once it is approved.

use std::path::Path;

use capital_courier::app;
use capital_courier::format::locale::Language;
use capital_courier::letters::Kind;
use capital_courier::letters::wording::approvals::{self, Approval};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble};

pub const LIVE: (&str, &str) = ("STRIPE_API_KEY", "sk_live_courier");
const DISCLAIMER: &str = "Loans are issued by a bank.\n\nA minimum is due in each period.";

pub fn write_disclaimer(dir: &Path, variant: &str) {
    std::fs::create_dir_all(dir.join(variant)).unwrap();
    std::fs::write(dir.join(variant).join("en.txt"), DISCLAIMER).unwrap();
}

/// Announces a live offer with this disclaimer variant to an account in this country.
pub async fn live_offer(app: &TestApp, variant: Option<&str>, country: &str) -> String {
    let offer = app.offer();
    app.stripe.edit_account(&app.account_of(&offer), |account| account["country"] = country.into());
    app.stripe.edit_offer(&offer, |offer| {
        offer["livemode"] = true.into();
        offer["disclaimer_variant"] = variant.into();
    });
    let mut event = app.stripe.emit("capital.financing_offer.created", &offer);
    event["livemode"] = true.into();
    app.stripe_sends(&event).await.expect_kept();
    app.run_due_work().await;
    offer
}

/// Approves the announcement with this disclaimer for a market. Returns the number of letters that
/// were released.
pub async fn approve(
    app: &TestApp,
    settings: &[(&str, &str)],
    variant: &str,
    market: &str,
) -> usize {
    let settings = app.settings_with(settings);
    let (writer, all) =
        (app::writer(&settings.email).unwrap(), app::disclaimers(&settings.email).unwrap());
    let disclaimer = all.find(Some(variant), None, &[Language::English]).unwrap();
    let hash = writer.copy_hash(Kind::Offer, &disclaimer);
    let approval = Approval { market, reference: "CCR-1", approved_by: "compliance" };
    let mut tx = app.db.begin().await.unwrap();
    approvals::approve(&mut tx, &[hash], &approval, app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    approvals::release(app.app.db(), app.clock.now()).await.unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_live_letter_is_held_until_its_wording_is_approved(db: PgPool) {
    let dir = tempfile::tempdir().unwrap();
    write_disclaimer(dir.path(), "celtic_us_loan");
    let settings = [LIVE, ("COURIER_EMAIL__DISCLAIMERS_DIR", dir.path().to_str().unwrap())];
    let app = TestApp::start_with(db, &settings).await;
    let offer = live_offer(&app, Some("celtic_us_loan"), "US").await;
    app.expect_letter(&offer, "held", Some("copy_not_approved")).await;
    app.expect_untouched(&offer).await;
    // Approvals for another market or another wording do not count.
    assert_eq!(approve(&app, &settings, "celtic_us_loan", "GB").await, 1);
    app.run_due_work().await;
    app.expect_letter(&offer, "held", Some("copy_not_approved")).await;
    let other =
        [LIVE, settings[1], ("COURIER_EMAIL__POSTAL_ADDRESS", "2 Side Street, Springfield")];
    assert_eq!(approve(&app, &other, "celtic_us_loan", "US").await, 1);
    app.run_due_work().await;
    app.expect_letter(&offer, "held", Some("copy_not_approved")).await;

    assert_eq!(approve(&app, &settings, "celtic_us_loan", "US").await, 1);
    app.run_due_work().await;
    let letter = app.expect_delivered(&offer).await;
    let message = letter.message();
    for part in [message.body_text(0).unwrap(), message.body_html(0).unwrap()] {
        assert!(
            part.contains("Loans are issued by a bank.") && part.contains("A minimum is due"),
            "{part}"
        );
    }
    assert!(!message.subject().unwrap().contains("Test"));
    let (hash, variant): (String, String) =
        sqlx::query_as("select copy_hash, disclaimer_variant from letters")
            .fetch_one(&app.db)
            .await
            .unwrap();
    let approved: i64 = app
        .one("select count(*) from copy_approvals where market = 'US' and copy_hash = $1", &hash)
        .await;
    assert_eq!(
        (variant.as_str(), approved),
        ("celtic_us_loan", 1),
        "the letter names the approved wording"
    );
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_live_letter_without_an_operators_disclaimer_is_held(db: PgPool) {
    let app = TestApp::start_with(db, &[LIVE]).await;
    for (variant, country) in
        [(Some("celtic_us_loan"), "US"), (None, "US"), (None, "BR"), (Some("new"), "US")]
    {
        let offer = live_offer(&app, variant, country).await;
        app.expect_letter(&offer, "held", Some("no_disclaimer")).await;
        app.expect_untouched(&offer).await;
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn each_held_letter_is_released_once_across_all_pages(db: PgPool) {
    let app = TestApp::start_with(db, &[LIVE]).await;
    let offer = live_offer(&app, None, "US").await;
    app.expect_letter(&offer, "held", Some("no_disclaimer")).await;
    for copies in [
        "insert into financing_offers
         select (jsonb_populate_record(offers, jsonb_build_object(
             'offer_id', 'financingoffer_copy_' || n))).*
         from financing_offers offers, generate_series(1, 450) n",
        "insert into letters
         select (jsonb_populate_record(letters, jsonb_build_object(
             'letter_id', 'letter_copy_' || n, 'message_id', n || '@x',
             'offer_id', 'financingoffer_copy_' || n))).*
         from letters, generate_series(1, 450) n",
    ] {
        sqlx::query(copies).execute(&app.db).await.unwrap();
    }
    assert_eq!(approvals::release(app.app.db(), app.clock.now()).await.unwrap(), 451);
    assert_eq!(app.letters_in_state("waiting").await, 451);
    app.run_due_work().await;
    app.expect_letter(&offer, "held", Some("no_disclaimer")).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_uncertain_live_letter_without_approval_is_rewritten(db: PgPool) {
    let dir = tempfile::tempdir().unwrap();
    write_disclaimer(dir.path(), "celtic_us_loan");
    let settings = [LIVE, ("COURIER_EMAIL__DISCLAIMERS_DIR", dir.path().to_str().unwrap())];
    let app = TestApp::start_with(db, &settings).await;
    assert_eq!(approve(&app, &settings, "celtic_us_loan", "US").await, 0);
    app.relay.fail(Step::Dot, Trouble::TakeAndDrop, 2);
    let (approved, unapproved) = (
        live_offer(&app, Some("celtic_us_loan"), "US").await,
        live_offer(&app, Some("celtic_us_loan"), "US").await,
    );
    // As an older version left it: a wording without a hash.
    sqlx::query(
        "update letters set copy_hash = null, body_text = 'old wording' where offer_id = $1",
    )
    .bind(&unapproved)
    .execute(&app.db)
    .await
    .unwrap();
    app.after(chrono::TimeDelta::minutes(1)).await;
    for offer in [&approved, &unapproved] {
        app.expect_letter(offer, "sent", None).await;
    }
    let texts: Vec<String> = app
        .relay
        .letters()
        .iter()
        .map(|letter| letter.message().body_text(0).unwrap().into_owned())
        .collect();
    assert_eq!(texts.len(), 4);
    let is_current = |text: &String| {
        !text.contains("old wording") && text.contains("Loans are issued by a bank.")
    };
    assert!(texts.iter().all(is_current), "{texts:?}");
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_letter_about_test_data_has_a_sample_disclaimer(db: PgPool) {
    let app = TestApp::start(db).await;
    let offer = app.offer();
    app.announce(&offer).await;
    let letter = app.expect_delivered(&offer).await;
    let text = letter.message().body_text(0).unwrap().replace("\r\n", " ");
    assert!(text.contains("Sample for test mode.") && text.contains("celtic_us_loan"), "{text}");
    app.finish().await;
}

#[tokio::test]
async fn email_check_finds_a_violation_of_the_copy_rules() {
    let (disclaimers, templates) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_disclaimer(disclaimers.path(), "celtic_us_loan");
    let stripe = stripe_simulator::Simulator::start(stripe_simulator::Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        api_key: crate::support::API_KEY.to_owned(),
        time: stripe_simulator::TimeSource::system(),
    })
    .await
    .unwrap();
    let mut env = crate::support::environment(&stripe, "file:/nowhere");
    env.insert(
        "COURIER_EMAIL__DISCLAIMERS_DIR".to_owned(),
        disclaimers.path().display().to_string(),
    );
    let run = async |env: &std::collections::HashMap<String, String>, arguments: &[&str]| {
        crate::support::process::command(arguments, env).output().await.unwrap()
    };
    let builtin = run(&env, &["email", "check"]).await;
    let output = String::from_utf8(builtin.stdout).unwrap();
    assert_eq!(
        (builtin.status.code(), output.as_str()),
        (Some(0), "280 letters read, 0 findings\n")
    );

    std::fs::create_dir_all(templates.path().join("offer/en")).unwrap();
    std::fs::write(
        templates.path().join("offer/en/words.txt"),
        "{% extends \"words/en.txt\" %}{% block button %}Get your guaranteed loan{% endblock %}",
    )
    .unwrap();
    env.insert("COURIER_EMAIL__TEMPLATES_DIR".to_owned(), templates.path().display().to_string());
    let custom = run(&env, &["email", "check"]).await;
    let output = String::from_utf8(custom.stdout).unwrap();
    assert_eq!(custom.status.code(), Some(1), "{output}");
    assert!(
        output.contains("«guaranteed» loan")
            && output.contains("in offer, en, loan: celtic_us_loan"),
        "{output}"
    );
    let json = run(&env, &["email", "check", "--json"]).await;
    let found: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(found.as_array().unwrap().iter().all(|found| found["severity"] == "error"), "{found}");
    stripe.stop();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn email_preview_writes_every_letter_and_email_approve_approves_it(db: PgPool) {
    let app = TestApp::start(db).await;
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_disclaimer(dir.path(), "youlend_uk_mca");
    let mut env = crate::support::environment(&app.stripe, &app.relay.url());
    env.insert("DATABASE_URL".to_owned(), crate::support::process::url_of(&app.db));
    env.insert("COURIER_EMAIL__DISCLAIMERS_DIR".to_owned(), dir.path().display().to_string());
    let run = async |arguments: &[&str]| {
        crate::support::process::command(arguments, &env).output().await.unwrap()
    };
    let previewed = run(&["email", "preview", out.path().to_str().unwrap()]).await;
    assert!(previewed.status.success(), "{}", String::from_utf8_lossy(&previewed.stderr));
    let index = std::fs::read_to_string(out.path().join("index.html")).unwrap();
    assert!(
        index.contains("youlend_uk_mca-en-refill-cash_advance.page.html")
            && index.contains("youlend_uk_mca-en-reminder_7d-of-a-refill-loan.page.html")
            && index.contains("sample: test mode only")
    );
    assert_eq!(
        std::fs::read_dir(out.path()).unwrap().count(),
        7 * 3 * 10 * 4 + 1,
        "seven kinds, three of them also of a refill, in four contracts"
    );

    write_disclaimer(dir.path(), "something_new");
    let named = [
        "email",
        "approve",
        "--market",
        "US",
        "--reference",
        "CCR-2",
        "--variant",
        "something_new",
    ];
    assert!(run(&named).await.status.success());
    sqlx::query("delete from copy_approvals").execute(&app.db).await.unwrap();
    std::fs::remove_dir_all(dir.path().join("something_new")).unwrap();
    let refused = run(&["email", "approve", "--market", "US", "--reference", "CCR-2"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no such disclaimer for US"));
    let approved =
        run(&["email", "approve", "--market", "gb", "--reference", "CCR-2", "--by", "ann"]).await;
    assert!(approved.status.success(), "{}", String::from_utf8_lossy(&approved.stderr));
    let approvals: Vec<(String, String, String)> =
        sqlx::query_as("select market, approved_by, copy_hash from copy_approvals")
            .fetch_all(&app.db)
            .await
            .unwrap();
    assert_eq!(approvals.len(), 7, "one for each kind");
    for (market, by, hash) in &approvals {
        assert_eq!((market.as_str(), by.as_str()), ("GB", "ann"));
        assert!(index.contains(hash));
    }
    sqlx::query("delete from copy_approvals").execute(&app.db).await.unwrap();
    let one =
        ["email", "approve", "--market", "GB", "--reference", "CCR-3", "--kind", "reminder_7d"];
    assert!(run(&one).await.status.success());
    assert_eq!(
        app.one::<i64>("select count(*) from copy_approvals where reference = $1", "CCR-3").await,
        1
    );
    assert_eq!(
        run(&["email", "approve", "--market", "GB", "--reference", "x", "--kind", "reminder"])
            .await
            .status
            .code(),
        Some(64)
    );
    app.finish().await;
}
