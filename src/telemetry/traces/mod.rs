//! Traces: the spans of one offer, from the webhook to `mark_delivered`, exported over OTLP
//! (protobuf over HTTP).
//!
//! The context of a trace is stored with the rows that carry its work (`inbox_events.traceparent`,
//! `jobs.traceparent`), so that it continues in another process and after a restart. Until
//! [`start`] was called, every function here is one branch; only `serve` and `worker` call it.
//!
//! An unavailable collector costs spans and nothing else: finished spans wait in a bounded buffer,
//! a full buffer drops new ones, and the SDK exports on a thread of its own.
//!
//! A span names ids, kinds, statuses and hosts. It never holds an address, a name, a body, the text
//! of an error (which may quote a reply) or a secret.

mod collector;
mod span;

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use url::Url;

use collector::Collector;

pub use span::{Span, fail, is_on, set_number, set_text, trace_id, traceparent};

/// The longest wait for one response of the collector. The default of the OTLP specification.
pub const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that a shutdown waits for the last export.
const MAX_FLUSH: Duration = Duration::from_secs(5);

const SERVICE: &str = "capital-courier";

static TRACES: OnceLock<Traces> = OnceLock::new();

struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// Exports spans to the collector at `endpoint`, the base address; `/v1/traces` is appended. Must
/// be called within the runtime in which `http` sends. A second call has no effect.
///
/// The SDK reads `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER` and its
/// argument, `OTEL_BSP_…` and `OTEL_EXPORTER_OTLP_HEADERS` from the environment.
pub fn start(endpoint: &Url, http: reqwest::Client) -> Result<(), ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(traces_url(endpoint))
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(Collector::new(http))
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource(&Resource::builder().build()))
        .build();
    let tracer = provider.tracer(SERVICE);
    let _ = TRACES.set(Traces { provider, tracer });
    Ok(())
}

/// Exports the spans that have ended, for at most `within`. Later spans are lost.
pub async fn flush(within: Duration) {
    let Some(traces) = TRACES.get() else { return };
    let within = within.min(MAX_FLUSH);
    // It blocks its thread until the collector has answered.
    let flushed =
        tokio::task::spawn_blocking(move || traces.provider.shutdown_with_timeout(within));
    if !matches!(flushed.await, Ok(Ok(()))) {
        tracing::warn!("stopped before all spans were exported");
    }
}

fn traces_url(endpoint: &Url) -> String {
    let mut url = endpoint.clone();
    url.set_path(&format!("{}/v1/traces", url.path().trim_end_matches('/')));
    url.into()
}

/// What identifies this process. `detected`, from the environment, overrides our own values, except
/// for the SDK's name of a service that has none.
fn resource(detected: &Resource) -> Resource {
    let is_placeholder = |key: &Key, value: &str| {
        key.as_str() == "service.name" && value.starts_with("unknown_service")
    };
    let detected = detected.iter().filter(|(key, value)| !is_placeholder(key, &value.as_str()));
    Resource::builder_empty()
        .with_service_name(SERVICE)
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
        ])
        .with_attributes(detected.map(|(key, value)| KeyValue::new(key.clone(), value.clone())))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_a_base_address() {
        for (endpoint, url) in [
            ("http://localhost:4318", "http://localhost:4318/v1/traces"),
            ("https://otel.example/", "https://otel.example/v1/traces"),
            ("https://otel.example/otlp/", "https://otel.example/otlp/v1/traces"),
        ] {
            assert_eq!(traces_url(&endpoint.parse().unwrap()), url);
        }
    }

    #[test]
    fn the_environment_overrides_the_name_of_the_service() {
        let name_with = |detected: &'static str| {
            let detected = Resource::builder_empty().with_service_name(detected).build();
            resource(&detected).get(&Key::from("service.name")).unwrap().to_string()
        };
        assert_eq!(name_with("courier-eu"), "courier-eu");
        assert_eq!(name_with("unknown_service:capital-courier"), "capital-courier");
    }
}
