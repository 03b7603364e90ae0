//! Account Sessions for the embedded components.

use serde_json::json;
use sqlx::PgPool;

use super::api::call;
use super::api_financing::Bench;
use crate::support::stripe::refusal;

const PATH: &str = "/api/v1/accounts/acct_1/sessions";

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_session_is_created_with_the_components_and_the_preview_version(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    let session = json!({"object": "account_session", "account": "acct_1", "expires_at": 1_800_000_000,
                         "client_secret": "accs_secret_1"});
    bench.stub.answer("/v1/account_sessions", 200, session);
    let body = r#"{"components": ["capital_financing_promotion", "capital_financing"]}"#;
    let answer = call(&bench.app, &bench.key, "POST", PATH, body).await.expect(200);
    assert_eq!(
        answer,
        json!({"client_secret": "accs_secret_1", "expires_at": "2027-01-15T08:00:00Z"})
    );
    let asked = &bench.stub.asked()[0];
    assert_eq!(asked.stripe_version.as_deref(), Some("2025-04-30.basil; embedded_connect_beta=v2"));
    assert_eq!(asked.stripe_account, None, "the platform's own call");
    let form: Vec<_> = url::form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect();
    let expected = [
        ("account", "acct_1"),
        ("components[capital_financing][enabled]", "true"),
        ("components[capital_financing_promotion][enabled]", "true"),
    ];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    bench.app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_session_that_stripe_refuses_has_a_code_of_its_own(db: PgPool) {
    let bench = Bench::start(db, &[]).await;
    for body in [
        "",
        "{}",
        r#"{"components": []}"#,
        r#"{"components": ["payments"]}"#,
        r#"{"components": ["capital_financing"], "account": "acct_2"}"#,
    ] {
        call(&bench.app, &bench.key, "POST", PATH, body)
            .await
            .expect_refused(400, "malformed_body");
    }
    assert!(bench.stub.asked().is_empty());
    let body = r#"{"components": ["capital_financing"]}"#;
    for (status, code, told, expected) in [
        // "You do not have permission to pass this beta header."
        (400, "invalid_request_error", 409, "session_refused"),
        (400, "resource_missing", 404, "not_found"),
        (403, "account_invalid", 404, "not_found"),
        (500, "api_error", 503, "stripe_unavailable"),
    ] {
        bench.stub.answer("/v1/account_sessions", status, refusal(code));
        call(&bench.app, &bench.key, "POST", PATH, body).await.expect_refused(told, expected);
    }
    bench.app.finish().await;
}
