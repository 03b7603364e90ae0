//! Live letters go out only with approved wording, and are released once it is approved.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use capital_courier::app;
use capital_courier::format::locale::Language;
use capital_courier::letters::Kind;
use capital_courier::letters::wording::approvals::{
    self, Approval, ApprovalFilter, WithdrawError, Withdrawal,
};
use sqlx::PgPool;
use tempfile::TempDir;

use crate::support::TestApp;
use crate::support::smtp::{Step, Trouble};
use crate::support::wait::eventually;

pub const LIVE: (&str, &str) = ("STRIPE_API_KEY", "sk_live_courier");
const DISCLAIMER: &str = "Loans are issued by a bank.\n\nA minimum is due in each period.";

pub fn write_disclaimer(dir: &Path, variant: &str) {
    std::fs::create_dir_all(dir.join(variant)).unwrap();
    std::fs::write(dir.join(variant).join("en.txt"), DISCLAIMER).unwrap();
}

/// A folder with the disclaimer of US loans.
fn us_disclaimers() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_disclaimer(dir.path(), "celtic_us_loan");
    dir
}

/// The settings of a platform in live mode with these disclaimers.
fn live(disclaimers: &TempDir) -> [(&'static str, &str); 2] {
    [LIVE, ("COURIER_EMAIL__DISCLAIMERS_DIR", disclaimers.path().to_str().unwrap())]
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
    let copy = writer.copy_id(Kind::Offer, &disclaimer);
    let approval = Approval { market, reference: "CCR-1", approved_by: "compliance" };
    let mut tx = app.db.begin().await.unwrap();
    approvals::approve(&mut tx, &[copy], &approval, app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    approvals::retry_held(app.app.db(), app.clock.now()).await.unwrap()
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_live_letter_is_held_until_its_wording_is_approved(db: PgPool) {
    let dir = us_disclaimers();
    let settings = live(&dir);
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

/// Withdraws the approvals that match. Returns their number.
async fn withdraw(app: &TestApp, filter: &ApprovalFilter<'_>) -> Result<usize, WithdrawError> {
    let withdrawal = Withdrawal { reason: "the minimum is missing", withdrawn_by: "ann" };
    let mut tx = app.db.begin().await.unwrap();
    let withdrawn = approvals::withdraw(&mut tx, filter, &withdrawal, app.clock.now()).await?;
    tx.commit().await.unwrap();
    Ok(withdrawn.len())
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn after_its_approval_is_withdrawn_no_letter_leaves(db: PgPool) {
    let dir = us_disclaimers();
    let settings = live(&dir);
    let app = TestApp::start_with(db, &settings).await;
    approve(&app, &settings, "celtic_us_loan", "US").await;
    approve(&app, &settings, "celtic_us_loan", "GB").await;
    let before = live_offer(&app, Some("celtic_us_loan"), "US").await;
    app.expect_delivered(&before).await;

    let us = ApprovalFilter { market: Some("US"), ..ApprovalFilter::default() };
    assert_eq!(withdraw(&app, &us).await.unwrap(), 1);
    assert!(matches!(withdraw(&app, &us).await, Err(WithdrawError::NoneMatches)));
    let after = live_offer(&app, Some("celtic_us_loan"), "US").await;
    app.expect_letter(&after, "held", Some("copy_not_approved")).await;
    assert_eq!((app.relay.letters().len(), app.stripe.delivered_marks(&after)), (1, 0));

    // Approved again: a second row; the first one stays as evidence.
    assert_eq!(approve(&app, &settings, "celtic_us_loan", "US").await, 1);
    app.run_due_work().await;
    app.expect_delivered(&after).await;
    let us_approvals = "select count(*) from copy_approvals where market = $1";
    assert_eq!(app.one::<i64>(us_approvals, "US").await, 2);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_approval_withdrawn_while_the_relay_answers_stops_the_letter(db: PgPool) {
    let dir = us_disclaimers();
    let settings = live(&dir);
    let app = TestApp::start_with(db, &settings).await;
    approve(&app, &settings, "celtic_us_loan", "US").await;
    // Withdrawn after the letter is written and before `sending` is committed.
    app.relay.fail(Step::Data, Trouble::Wait(Duration::from_secs(3)), 1);
    let withdrawal = async {
        app.relay.reached(Step::Data).await;
        withdraw(&app, &ApprovalFilter::default()).await.unwrap();
    };
    let (offer, ()) = tokio::join!(live_offer(&app, Some("celtic_us_loan"), "US"), withdrawal);
    app.expect_letter(&offer, "held", Some("copy_not_approved")).await;
    app.expect_untouched(&offer).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_withdrawal_waits_for_the_attempt_that_begins(db: PgPool) {
    let dir = us_disclaimers();
    let settings = live(&dir);
    let app = TestApp::start_with(db, &settings).await;
    approve(&app, &settings, "celtic_us_loan", "US").await;
    // Holds the transaction open after it has read the approval.
    sqlx::raw_sql(
        "create function pause() returns trigger language plpgsql as $$
         begin perform pg_sleep(1); return new; end $$;
         create trigger pause after insert on delivery_attempts for each row
             execute function pause()",
    )
    .execute(&app.db)
    .await
    .unwrap();
    let withdrawal = async {
        let is_paused = async || {
            let paused = "select count(*) from pg_stat_activity
                 where wait_event = 'PgSleep' and datname = current_database() and $1 <> ''";
            app.one::<i64>(paused, "x").await == 1
        };
        eventually(|| "no attempt began".to_owned(), is_paused).await;
        withdraw(&app, &ApprovalFilter::default()).await.unwrap();
        app.one::<i64>(
            "select count(*) from delivery_attempts where approved_by = $1",
            "compliance",
        )
        .await
    };
    let (offer, attempts) =
        tokio::join!(live_offer(&app, Some("celtic_us_loan"), "US"), withdrawal);
    assert_eq!(attempts, 1, "the attempt was committed before the withdrawal");
    app.expect_letter(&offer, "sent", None).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_uncertain_letter_is_not_repeated_without_approval(db: PgPool) {
    let dir = us_disclaimers();
    let settings = live(&dir);
    let app = TestApp::start_with(db, &settings).await;
    approve(&app, &settings, "celtic_us_loan", "US").await;
    approve(&app, &settings, "celtic_us_loan", "GB").await;
    app.relay.fail(Step::Dot, Trouble::TakeAndDrop, 1);
    let offer = live_offer(&app, Some("celtic_us_loan"), "US").await;
    assert_eq!(app.relay.letters().len(), 1);
    // The approval for GB is in force, but the letter is for the US.
    withdraw(&app, &ApprovalFilter { market: Some("US"), ..ApprovalFilter::default() })
        .await
        .unwrap();
    app.after(chrono::TimeDelta::minutes(1)).await;
    app.expect_letter(&offer, "held", Some("copy_not_approved")).await;
    assert_eq!(app.relay.letters().len(), 1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn approvals_are_listed_and_withdrawn_by_command(db: PgPool) {
    let app = TestApp::start(db).await;
    let dir = tempfile::tempdir().unwrap();
    write_disclaimer(dir.path(), "youlend_uk_mca");
    let mut env = crate::support::environment(&app.stripe, &app.relay.url());
    env.insert("DATABASE_URL".to_owned(), crate::support::process::url_of(&app.db));
    env.insert("COURIER_EMAIL__DISCLAIMERS_DIR".to_owned(), dir.path().display().to_string());
    let run = async |line: &str| {
        let arguments: Vec<&str> = line.split(' ').collect();
        let output = crate::support::process::command(&arguments, &env).output().await.unwrap();
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(printed).unwrap())
    };
    let listed = async || {
        let (_, json) = run("email approvals list --json").await;
        serde_json::from_str::<serde_json::Value>(&json).unwrap()
    };
    let before = listed().await;
    assert_eq!(before["approvals"], serde_json::json!([]));
    assert_eq!(before["missing"].as_array().unwrap().len(), 8, "seven emails and the page");
    assert_eq!(before["missing"][7]["kind"], "capital_section");

    assert_eq!(run("email approve --market gb --reference CCR-7 --by ann").await.0, Some(0));
    let after = listed().await;
    assert_eq!(after["missing"], serde_json::json!([]));
    let first = &after["approvals"][0];
    assert_eq!(
        (&first["market"], &first["kind"], &first["reference"], &first["is_current"]),
        (&"GB".into(), &"offer".into(), &"CCR-7".into(), &true.into())
    );

    // Not without a reason, not all at once by accident, nothing by an ambiguous hash.
    assert_eq!(run("email approvals withdraw --reference CCR-7").await.0, Some(64));
    assert_eq!(run("email approvals withdraw --reason typo").await.0, Some(64));
    let unknown = run("email approvals withdraw --reference CCR-8 --reason typo").await;
    assert_eq!(unknown.0, Some(1));
    assert!(unknown.1.contains("no approval in force matches"), "{}", unknown.1);
    let ambiguous = sqlx::query("update copy_approvals set market = 'US'").execute(&app.db).await;
    assert!(ambiguous.unwrap_err().to_string().contains("can only be withdrawn"));
    let hash = first["copy_hash"].as_str().unwrap();
    let withdrawn = run(&format!("email approvals withdraw {} --reason typo", &hash[..16])).await;
    assert_eq!(withdrawn.0, Some(0), "{}", withdrawn.1);
    let (_, text) = run("email approvals list").await;
    assert!(text.contains("by operator: typo, current"), "{text}");
    assert!(text.contains("offer en youlend_uk_mca: not approved"), "{text}");
    assert!(text.contains("7 approvals in force, 1 current wordings without one"), "{text}");

    let all = run("email approvals withdraw --reference CCR-7 --market gb --reason typo").await;
    assert_eq!((all.0, all.1.lines().count()), (Some(0), 7), "{}", all.1);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_hash_that_two_wordings_begin_with_withdraws_nothing(db: PgPool) {
    let app = TestApp::start(db).await;
    sqlx::query(
        "insert into copy_approvals (copy_hash, market, reference, approved_by, approved_at)
         values ('aa01', 'US', 'r', 'ann', now()), ('aa02', 'US', 'r', 'ann', now())",
    )
    .execute(&app.db)
    .await
    .unwrap();
    let by_hash = |hash_prefix| ApprovalFilter {
        hash_prefix: Some(hash_prefix),
        ..ApprovalFilter::default()
    };
    let ambiguous = withdraw(&app, &by_hash("aa")).await;
    assert!(matches!(ambiguous, Err(WithdrawError::Ambiguous(2))), "{ambiguous:?}");
    assert_eq!(withdraw(&app, &by_hash("aa02")).await.unwrap(), 1);
    let in_force: i64 = app
        .one("select count(*) from copy_approvals where withdrawn_at is null and market = $1", "US")
        .await;
    assert_eq!(in_force, 1);
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
    assert_eq!(approvals::retry_held(app.app.db(), app.clock.now()).await.unwrap(), 451);
    assert_eq!(app.letters_in_state("waiting").await, 451);
    app.run_due_work().await;
    app.expect_letter(&offer, "held", Some("no_disclaimer")).await;
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_uncertain_live_letter_without_approval_is_rewritten(db: PgPool) {
    let dir = us_disclaimers();
    let settings = live(&dir);
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
        (Some(0), "280 emails read, 0 findings\n")
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
            && index.contains(">not approved</span>")
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
    std::fs::remove_dir_all(dir.path().join("something_new")).unwrap();
    let refused = run(&["email", "approve", "--market", "US", "--reference", "CCR-2"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no such disclaimer for US"));
    let approved =
        run(&["email", "approve", "--market", "gb", "--reference", "CCR-2", "--by", "ann"]).await;
    assert!(approved.status.success(), "{}", String::from_utf8_lossy(&approved.stderr));
    let approvals: Vec<(String, String, String)> = sqlx::query_as(
        "select market, approved_by, copy_hash from copy_approvals
             where kind <> 'capital_section' and disclaimer_variant = 'youlend_uk_mca'",
    )
    .fetch_all(&app.db)
    .await
    .unwrap();
    assert_eq!(approvals.len(), 7, "one for each kind");
    for (market, by, hash) in &approvals {
        assert_eq!((market.as_str(), by.as_str()), ("GB", "ann"));
        assert!(index.contains(hash));
    }
    let states = |index: &str| {
        [">approved</span>", ">changed since its approval</span>", ">not approved</span>"]
            .map(|state| index.matches(state).count())
    };
    let cover = async |env: &HashMap<String, String>| {
        let preview = ["email", "preview", out.path().to_str().unwrap()];
        let output = crate::support::process::command(&preview, env).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read_to_string(out.path().join("index.html")).unwrap()
    };
    assert_eq!(states(&cover(&env).await), [7, 0, 0]);
    let mut moved = env.clone();
    moved.insert("COURIER_EMAIL__POSTAL_ADDRESS".to_owned(), "2 Side Street".to_owned());
    assert_eq!(states(&cover(&moved).await), [0, 7, 0]);
    moved.remove("DATABASE_URL");
    let index = cover(&moved).await;
    assert_eq!(states(&index), [0, 0, 0]);
    assert!(index.contains("Approvals are not shown"));
    let gb = ApprovalFilter { market: Some("GB"), ..ApprovalFilter::default() };
    assert_eq!(withdraw(&app, &gb).await.unwrap(), 8);
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
