//! `email recipients`: who would get an email, before the service goes live.

use std::collections::HashMap;

use serde_json::{Value, json};
use sqlx::PgPool;
use stripe_simulator::{Fault, FaultKind, NewAccount, NewOffer, Simulator};

use super::run_ok;
use crate::support::process::{command, world};

/// A merchant with an offer.
fn merchant(stripe: &Simulator, email: Option<&str>) -> String {
    let email = email.map(str::to_owned);
    let account = stripe.add_account(&NewAccount { email, ..NewAccount::default() });
    stripe.create_offer(&account, &NewOffer::default());
    account
}

/// The exit status, stdout and stderr of a command.
async fn run(arguments: &[&str], env: &HashMap<String, String>) -> (Option<i32>, String, String) {
    let ended = command(arguments, env).output().await.unwrap();
    let [stdout, stderr] =
        [ended.stdout, ended.stderr].map(|text| String::from_utf8(text).unwrap());
    (ended.status.code(), stdout, stderr)
}

/// Makes all offers known, as the first start does. No worker sends the letters.
async fn reconcile(env: &HashMap<String, String>) {
    let (code, _, stderr) = run(&["reconcile"], env).await;
    assert_eq!(code, Some(0), "{stderr}");
}

/// What is listed, by account.
async fn listed(env: &HashMap<String, String>, more: &[&str]) -> HashMap<String, Value> {
    let (code, stdout, stderr) =
        run(&[&["email", "recipients", "--json"], more].concat(), env).await;
    assert_eq!(code, Some(0), "{stderr}");
    let lines: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    lines.into_iter().map(|line| (line["account_id"].as_str().unwrap().to_owned(), line)).collect()
}

/// The rows without the spaces that align their columns.
fn cells(lines: &str) -> String {
    lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

fn found(line: &Value) -> (&Value, &Value, &Value) {
    (&line["address"], &line["source"], &line["reason"])
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn each_account_has_an_address_with_its_source_or_a_reason(db: PgPool) {
    let (stripe, _relay, mut env) = world(&db).await;
    let named = merchant(&stripe, Some("jenny@bakery.example"));
    let set = merchant(&stripe, Some("old@bakery.example"));
    let [sole, company, public, nobody] = [(); 4].map(|()| merchant(&stripe, None));
    let malformed = merchant(&stripe, Some("jenny at the bakery"));
    let opted_out = merchant(&stripe, Some("silent@bakery.example"));
    let bounced = merchant(&stripe, Some("gone@bakery.example"));
    let left = merchant(&stripe, Some("left@bakery.example"));
    let settled = merchant(&stripe, Some("settled@bakery.example"));
    stripe.edit_account(&sole, |account| {
        account["individual"] = json!({"email": "sole@trader.example"});
    });
    let owner =
        json!({"id": "person_1", "email": "boss@shop.example", "relationship": {"owner": true}});
    stripe.add_person(&company, owner);
    stripe.edit_account(&public, |account| {
        account["business_profile"]["support_email"] = "support@shop.example".into();
    });
    reconcile(&env).await;
    stripe.disconnect_account(&left);
    run_ok(&db, &["opt-out", "add", &opted_out]).await;
    for (statement, account) in [
        ("insert into contact_overrides values ($1, 'new@bakery.example', now(), 'key_1')", &set),
        (
            "insert into suppressed_addresses
                 (address_sha256, reason, status, letter_id, suppressed_at)
             select sha256('gone@bakery.example'), 'bounce', '5.1.1', letter_id, now()
             from letters where account_id = $1",
            &bounced,
        ),
        (
            "update letters set state = 'withdrawn', reason = 'told_elsewhere'
             where account_id = $1",
            &settled,
        ),
    ] {
        sqlx::query(statement).bind(account).execute(&db).await.unwrap();
    }

    env.insert("COURIER_EMAIL__ALLOW_SUPPORT_ADDRESS".to_owned(), "true".to_owned());
    let all = listed(&env, &[]).await;
    let null = Value::Null;
    for (account, address, source) in [
        (&named, "j***@bakery.example", "email"),
        (&set, "n***@bakery.example", "contact_override"),
        (&sole, "s***@trader.example", "individual.email"),
        (&company, "b***@shop.example", "persons.email"),
        (&public, "s***@shop.example", "business_profile.support_email"),
    ] {
        assert_eq!(found(&all[account]), (&json!(address), &json!(source), &null));
    }
    for (account, reason) in [
        (&nobody, "no_recipient"),
        (&malformed, "bad_address"),
        (&opted_out, "opted_out"),
        (&bounced, "address_bounced"),
        (&left, "not_connected"),
    ] {
        assert_eq!(found(&all[account]), (&null, &null, &json!(reason)));
    }
    assert_eq!(all.len(), 10, "the account whose letter is not needed is not among them");
    assert_eq!(all[&named]["offers"][0]["letter_state"], "waiting");

    let full = listed(&env, &["--addresses"]).await;
    assert_eq!(full[&named]["address"], "jenny@bakery.example");
    let (code, lines, summary) = run(&["email", "recipients"], &env).await;
    assert_eq!(code, Some(0), "{summary}");
    for line in [
        format!("{named} j***@bakery.example email\n"),
        format!("{malformed} no email email is not an email address\n"),
        format!("{left} no email the account left the platform\n"),
    ] {
        assert!(cells(&lines).contains(&line), "{line} is missing in\n{lines}");
    }
    assert!(!lines.contains("jenny@") && lines.lines().all(|line| line.len() <= 100), "{lines}");
    assert!(
        summary.contains("10 accounts wait for an email: 5 with a usable address"),
        "{summary}"
    );
    stripe.stop();
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn an_unreadable_account_is_a_line_and_a_wrong_key_ends_the_command(db: PgPool) {
    let (stripe, _relay, mut env) = world(&db).await;
    let (named, odd) = (merchant(&stripe, Some("jenny@bakery.example")), merchant(&stripe, None));
    reconcile(&env).await;
    // Stripe's limiter refuses the first call, which is repeated.
    let kind = FaultKind::Error { status: 429, code: "rate_limit", headers: Vec::new() };
    stripe.inject(Fault { method: "GET", path: "/v1/accounts", times: 1, kind });
    stripe.edit_account(&odd, |account| account["email"] = 5.into());
    let (code, lines, _) = run(&["email", "recipients"], &env).await;
    assert_eq!(code, Some(1), "{lines}");
    assert!(cells(&lines).contains(&format!("{named} j***@bakery.example email\n")), "{lines}");
    assert!(
        cells(&lines).contains(&format!("{odd} no email cannot decode Stripe's response")),
        "{lines}"
    );

    env.insert("STRIPE_API_KEY".to_owned(), "sk_test_wrong".to_owned());
    let (code, lines, error) = run(&["email", "recipients"], &env).await;
    assert_eq!((code, lines.as_str()), (Some(1), ""));
    assert!(error.contains("cannot look up account") && error.contains("401"), "{error}");
    stripe.stop();
}
