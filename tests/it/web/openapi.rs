//! The OpenAPI document: it describes every route and nothing else.

use std::path::Path;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::web::api::send;

async fn document(app: &TestApp) -> Value {
    let request = Request::get("/api/v1/openapi.json").body(Body::empty()).unwrap();
    let answer = send(app, request).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store");
    answer.expect(200)
}

/// The method, the path and the object of every operation.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation));
        }
    }
    all
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn exactly_the_described_methods_exist(db: PgPool) {
    let app = TestApp::start(db).await;
    let document = document(&app).await;
    let described = operations(&document);
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

/// axum cannot list a router's routes, so this reads the source: only the table in `routes.rs`
/// registers routes, and it contains every handler that has a description.
#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_route_is_described(db: PgPool) {
    let app = TestApp::start(db).await;
    let described = operations(&document(&app).await).len();
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
async fn every_operation_lists_its_scope_and_errors(db: PgPool) {
    let app = TestApp::start(db).await;
    let document = document(&app).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut ids = Vec::new();
    let mut listing = Vec::new();
    for (method, path, operation) in operations(&document) {
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
        listing.push(format!("{method} {path} ({scope})\n  {}", codes.join(", ")));
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "operation ids are unique");
    insta::assert_snapshot!(listing.join("\n"));
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn every_reference_resolves(db: PgPool) {
    fn check(value: &Value, document: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                fields.values().for_each(|field| check(field, document));
            }
            Value::Array(all) => all.iter().for_each(|item| check(item, document)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let app = TestApp::start(db).await;
    let document = document(&app).await;
    check(&document, &document);
    app.finish().await;
}
