//! What Stripe's own libraries accept and refuse, case by case.

#![allow(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::time::Duration;

use base64::Engine;
use capital_courier::flow::webhook::{Secrets, verify};
use chrono::DateTime;
use secrecy::SecretString;

#[derive(serde::Deserialize)]
struct Vector {
    name: String,
    header: String,
    payload_b64: String,
    secret: String,
    tol: u64,
    now: i64,
    accepted: bool,
}

#[test]
fn every_vector_comes_out_as_with_stripes_own_libraries() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("data/signature_vectors.json")).unwrap();
    assert!(vectors.len() >= 20, "the file of vectors is not whole");
    for vector in vectors {
        let body = base64::engine::general_purpose::STANDARD.decode(&vector.payload_b64).unwrap();
        let secrets = Secrets::new(&[SecretString::from(vector.secret)]).unwrap();
        let now = DateTime::from_timestamp(vector.now, 0).unwrap();
        let header = Some(vector.header.as_bytes());
        let verified = verify(header, &body, &secrets, now, Duration::from_secs(vector.tol));
        assert_eq!(verified.is_ok(), vector.accepted, "{}: {verified:?}", vector.name);
    }
}
