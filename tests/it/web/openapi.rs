//! The description of the API: it says what there is, and nothing else.

use std::path::Path;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::web::api::send;

async fn description(app: &TestApp) -> Value {
    let request = Request::get("/api/v1/openapi.json").body(Body::empty()).unwrap();
    let answer = send(app, request).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store");
    answer.expect(200)
}

/// Method, path and description of every operation.
fn operations(description: &Value) -> Vec<(String, String, &Value)> {
    let mut all = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation));
        }
    }
    all
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn what_is_described_is_there_and_what_is_not_described_is_not(db: PgPool) {
    let app = TestApp::start(db).await;
    let description = description(&app).await;
    let described = operations(&description);
    for (_, path, _) in &described {
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let is_described =
                described.iter().any(|(m, p, _)| (m, p) == (&method.to_owned(), path));
            let named = path.replace("{account}", "acct_1").replace("{offer}", "financingoffer_1");
            let named = named.replace("{transaction}", "cptxn_1");
            let request = Request::builder().method(method).uri(named).body(Body::empty()).unwrap();
            let status = send(&app, request).await.status;
            let is_open = path == "/api/v1/openapi.json";
            let expected = if !is_described {
                405
            } else if is_open {
                200
            } else {
                401
            };
            assert_eq!(status, expected, "{method} {path}");
        }
    }
    app.finish().await;
}

/// axum does not tell which routes a router has, so this reads the source: the table of `routes.rs` alone registers any, and each handler
/// with a description is in it.
#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn no_route_is_registered_beside_the_description(db: PgPool) {
    let app = TestApp::start(db).await;
    let described = operations(&description(&app).await).len();
    let mut handlers = 0;
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/api")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            handlers += source.matches("#[utoipa::path(").count();
            for way in [".route(", ".route_service(", ".nest(", ".nest_service(", ".fallback("] {
                assert!(!source.contains(way), "{way} in {}", path.display());
            }
        }
    }
    assert_eq!(handlers, described);
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_operation_says_its_scope_and_all_that_it_can_be_refused_for(db: PgPool) {
    let app = TestApp::start(db).await;
    let description = description(&app).await;
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut ids = Vec::new();
    let mut told = Vec::new();
    for (method, path, operation) in operations(&description) {
        ids.push(operation["operationId"].as_str().unwrap().to_owned());
        let scope = operation["security"][0]["bearer"][0].as_str().unwrap_or("no key");
        let mut codes = Vec::new();
        for (status, response) in operation["responses"].as_object().unwrap() {
            let examples = response["content"]["application/json"]["examples"].as_object();
            let Some(examples) = examples else { continue };
            for (code, example) in examples {
                assert_eq!(example["value"]["error"]["code"], code.as_str());
                codes.push(format!("{status} {code}"));
            }
        }
        told.push(format!("{method} {path} ({scope})\n  {}", codes.join(", ")));
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "each has a name of its own");
    insta::assert_snapshot!(told.join("\n"));
    app.finish().await;
}

/// Everything that is pointed at is there.
#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn no_reference_leads_nowhere(db: PgPool) {
    fn look(value: &Value, whole: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(place)) = fields.get("$ref") {
                    let pointer = place.strip_prefix('#').unwrap();
                    assert!(whole.pointer(pointer).is_some(), "{place}");
                }
                fields.values().for_each(|field| look(field, whole));
            }
            Value::Array(all) => all.iter().for_each(|one| look(one, whole)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let app = TestApp::start(db).await;
    let description = description(&app).await;
    look(&description, &description);
    app.finish().await;
}
