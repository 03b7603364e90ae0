//! A scrape of `GET /metrics`.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use capital_courier::web::ops::{self, Sources};
use http_body_util::BodyExt;

use super::TestApp;

#[derive(Debug)]
pub struct Scrape(pub String);

impl Scrape {
    pub async fn of(sources: Sources) -> Self {
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        let response = tower::ServiceExt::oneshot(ops::metrics(sources), request).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Self(String::from_utf8(body.to_vec()).unwrap())
    }

    /// The value of a series, such as `courier_jobs_dead` or `courier_circuit_open{circuit="relay"}`.
    pub fn value(&self, series: &str) -> Option<f64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    pub fn expect(&self, series: &str, value: f64) {
        let found = self.value(series);
        let is_equal = found.is_some_and(|found| (found - value).abs() < 1e-9);
        assert!(is_equal, "{series} is {found:?}, not {value}, in:\n{}", self.0);
    }

    /// The names of all samples, and each `label="value"` with its name.
    pub fn names_and_labels(&self) -> (BTreeSet<&str>, BTreeSet<(&str, &str)>) {
        let samples = self.0.lines().filter(|line| !line.starts_with('#'));
        let (mut names, mut pairs) = (BTreeSet::new(), BTreeSet::new());
        for sample in samples {
            let name = sample.split(['{', ' ']).next().unwrap();
            names.insert(name);
            let labels = sample.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
            let labels = labels.map_or("", |(labels, _)| labels);
            pairs.extend(labels.split(',').map(|label| (name, label)));
        }
        (names, pairs)
    }
}

impl TestApp {
    pub async fn scrape(&self) -> Scrape {
        Scrape::of(self.app.metric_sources()).await
    }
}
