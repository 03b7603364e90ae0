//! Spans and the context that they pass on. Without traces a [`Span`] holds nothing and runs its
//! work unchanged.

use futures_util::TryFutureExt;
use futures_util::future::Either;
use opentelemetry::trace::{
    FutureExt, Link, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt,
    TraceFlags, TraceId, TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue, Value};

use super::{TRACES, Traces};

/// A span that has not begun.
#[must_use = "a span begins when it runs its work"]
pub struct Span(Option<Box<Pending>>);

struct Pending {
    traces: &'static Traces,
    builder: SpanBuilder,
    parent: Context,
}

impl Span {
    fn new(kind: SpanKind, parent: Context, name: impl FnOnce() -> String) -> Self {
        Self(TRACES.get().map(|traces| {
            let mut builder = SpanBuilder::from_name(name()).with_kind(kind);
            builder.attributes = Some(Vec::new());
            Box::new(Pending { traces, builder, parent })
        }))
    }

    /// The first span of a trace. A `traceparent` header is not trusted: anyone may send one.
    pub fn request(name: &'static str) -> Self {
        Self::new(SpanKind::Server, Context::new(), || name.to_owned())
    }

    /// Work that continues the trace stored with its row, or begins one.
    pub fn work(name: &'static str, traceparent: Option<&str>) -> Self {
        let stored = traceparent.filter(|_| is_on()).and_then(parse);
        let parent = stored
            .map_or_else(Context::new, |stored| Context::new().with_remote_span_context(stored));
        Self::new(SpanKind::Consumer, parent, || name.to_owned())
    }

    /// A call to another system. Holds nothing outside of a span: such a call is part of no trace.
    pub fn call(system: &'static str, operation: &'static str) -> Self {
        let current = if is_on() { Context::current() } else { return Self(None) };
        if !current.has_active_span() {
            return Self(None);
        }
        Self::new(SpanKind::Client, current, || format!("{system} {operation}"))
    }

    pub fn text(self, key: &'static str, value: &str) -> Self {
        self.with(key, || value.to_owned().into())
    }

    pub fn number(self, key: &'static str, value: impl Into<i64>) -> Self {
        self.with(key, || value.into().into())
    }

    fn with(mut self, key: &'static str, value: impl FnOnce() -> Value) -> Self {
        if let Some(attributes) = self.0.as_mut().and_then(|span| span.builder.attributes.as_mut())
        {
            attributes.push(KeyValue::new(key, value()));
        }
        self
    }

    /// Refers to spans of other traces, by their stored contexts.
    pub fn links<'a>(mut self, traceparents: impl Iterator<Item = &'a str>) -> Self {
        if let Some(span) = &mut self.0 {
            let links = traceparents.filter_map(parse).map(Link::with_context);
            span.builder.links = Some(links.collect());
        }
        self
    }

    /// Begins the span and runs `work` in it. It ends with the future, finished or not.
    pub fn run<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        let Some(span) = self.0 else { return Either::Left(work) };
        let Pending { traces, builder, parent } = *span;
        let context = parent.with_span(traces.tracer.build_with_context(builder, &parent));
        // Dropping the last context that holds the span ends it.
        Either::Right(work.with_context(context))
    }

    /// As [`Span::run`]. A failure marks the span with the type that `error_type` names.
    pub fn try_run<T, E>(
        self,
        work: impl Future<Output = Result<T, E>>,
        error_type: impl FnOnce(&E) -> &'static str,
    ) -> impl Future<Output = Result<T, E>> {
        self.run(work.inspect_err(|error| fail(error_type(error))))
    }
}

/// Sets an attribute of the current span.
pub fn set_text(key: &'static str, value: &str) {
    set(key, || value.to_owned().into());
}

/// Sets an attribute of the current span.
pub fn set_number(key: &'static str, value: impl Into<i64>) {
    set(key, || value.into().into());
}

/// Marks the current span as failed. `error_type` is one of few values: a variant or a status.
pub fn fail(error_type: &str) {
    set_text("error.type", error_type);
    if is_on() {
        Context::map_current(|context| context.span().set_status(Status::error("")));
    }
}

fn set(key: &'static str, value: impl FnOnce() -> Value) {
    if is_on() {
        let attribute = KeyValue::new(key, value());
        Context::map_current(|context| context.span().set_attribute(attribute));
    }
}

/// The current span's context, to be stored with a row: W3C Trace Context, version 00
/// (<https://www.w3.org/TR/trace-context/#traceparent-header>). Also of a trace that is not
/// sampled, because its later spans must not be either.
pub fn traceparent() -> Option<String> {
    current(|span| {
        let flags = span.trace_flags().to_u8();
        format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id())
    })
}

/// The id of the current trace, for log lines.
pub fn trace_id() -> Option<String> {
    current(|span| span.trace_id().to_string())
}

fn current<T>(read: impl FnOnce(&SpanContext) -> T) -> Option<T> {
    if !is_on() {
        return None;
    }
    Context::map_current(|context| {
        let span = context.span();
        Some(span.span_context()).filter(|span| span.is_valid()).map(read)
    })
}

/// Whether spans are exported.
pub fn is_on() -> bool {
    TRACES.get().is_some()
}

/// `None` for what this version did not write.
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths = [version, trace, span, flags].map(str::len);
    if version != "00" || lengths != [2, 32, 16, 2] || parts.next().is_some() {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    Some(context).filter(SpanContext::is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_context_is_read_as_it_was_written() {
        let context = parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
        assert!(context.is_sampled() && context.is_remote());
        for invalid in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-7",
            "00-zzf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(parse(invalid), None, "{invalid}");
        }
    }

    #[tokio::test]
    async fn without_traces_work_runs_without_a_span() {
        let context = async { (traceparent(), trace_id()) };
        assert_eq!(Span::work("job", None).text("job.kind", "x").run(context).await, (None, None));
    }
}
