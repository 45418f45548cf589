//! Spans as OTLP has them: the protobuf of `ExportTraceServiceRequest`.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Message, Status, span};
use prost::Message as _;

use super::span::{AttributeValue, Span, SpanKind, Trace};

/// The sampled flag of W3C Trace Context: all spans that are sent are.
const SAMPLED: u32 = 1;

/// The message with these spans.
pub(super) fn encode(service: &str, traces: Vec<Trace>) -> Vec<u8> {
    let spans = traces.into_iter().flat_map(|trace| {
        let Trace { id, state, spans } = trace;
        spans.into_iter().map(move |span| message(id, &state, span))
    });
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let resource = Resource {
        attributes: vec![
            pair("service.name", Value::StringValue(service.to_owned())),
            pair("service.version", Value::StringValue(env!("CARGO_PKG_VERSION").to_owned())),
        ],
        ..Resource::default()
    };
    let scope_spans = ScopeSpans { scope: Some(scope), spans: spans.collect(), ..ScopeSpans::default() };
    let resource_spans = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope_spans],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

fn message(trace: u128, state: &str, span: Span) -> Message {
    let Span { id, parent, name, kind, start, end, attributes, is_error } = span;
    Message {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        trace_state: state.to_owned(),
        parent_span_id: parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
        flags: SAMPLED,
        name: name.into_owned(),
        kind: match kind {
            SpanKind::Server => span::SpanKind::Server,
            SpanKind::Client => span::SpanKind::Client,
            SpanKind::Internal => span::SpanKind::Internal,
        }
        .into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes: attributes.into_iter().map(|(name, value)| pair(name, any(value))).collect(),
        status: is_error.then(|| Status { code: StatusCode::Error.into(), ..Status::default() }),
        ..Message::default()
    }
}

fn any(value: AttributeValue) -> Value {
    match value {
        AttributeValue::Text(text) => Value::StringValue(text.into_owned()),
        AttributeValue::Number(number) => Value::IntValue(number),
        AttributeValue::Float(number) => Value::DoubleValue(number),
    }
}

fn pair(name: &str, value: Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
