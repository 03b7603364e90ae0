//! Single functions, beside the least that they could cost.

use std::hint::black_box;
use std::time::Instant;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::events::SECRET;
use crate::figures::{Figure, Goal};
use crate::sizes::Sizes;
use crate::subjects::Subjects;

/// Microseconds of one call.
fn time(calls: u32, mut call: impl FnMut()) -> f64 {
    let started = Instant::now();
    for _ in 0..calls {
        call();
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}

/// The bytes that Stripe signs, and their HMAC by the two crates that have one: what verifying costs
/// at least is the faster one's time.
struct BareHmac {
    signed: Vec<u8>,
    code: Vec<u8>,
    hmac: Hmac<Sha256>,
    ring: ring::hmac::Key,
}

impl BareHmac {
    fn new(subjects: &Subjects) -> Self {
        let mut signed = format!("{}.", subjects.now.timestamp()).into_bytes();
        signed.extend_from_slice(&subjects.body);
        let hmac = Hmac::new_from_slice(SECRET.as_bytes()).unwrap();
        let ring = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
        let code = ring::hmac::sign(&ring, &signed).as_ref().to_vec();
        Self { signed, code, hmac, ring }
    }

    fn time(&self, calls: u32) -> f64 {
        let hmac = time(calls, || {
            let mac = self.hmac.clone().chain_update(black_box(&self.signed));
            mac.verify_slice(&self.code).unwrap();
        });
        let ring = time(calls, || {
            ring::hmac::verify(&self.ring, black_box(&self.signed), &self.code).unwrap();
        });
        hmac.min(ring)
    }
}

pub fn measure(sizes: &Sizes) -> Vec<Figure> {
    let subjects = Subjects::new();
    let bare = BareHmac::new(&subjects);
    let (mut verify, mut ratio) = (Vec::new(), Vec::new());
    let (mut parse, mut batch, mut render) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..sizes.rounds {
        let least = bare.time(sizes.calls);
        let ours = time(sizes.calls, || subjects.verify());
        verify.push(ours);
        ratio.push(ours / least);
        parse.push(time(sizes.calls, || subjects.parse()));
        batch.push(time(sizes.calls / 100, || subjects.batch()));
        render.push(time(sizes.calls / 100, || subjects.render()));
    }
    vec![
        Figure::new("verify an event", "µs", Goal::Less, verify),
        Figure::new("verify ÷ bare HMAC", "", Goal::AtMost(1.3), ratio),
        Figure::new("parse the envelope", "µs", Goal::Less, parse),
        Figure::new("parse a batch of 100", "µs", Goal::Less, batch),
        Figure::new("render a letter", "µs", Goal::Less, render),
    ]
}
