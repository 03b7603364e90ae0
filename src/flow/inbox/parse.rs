//! Decides from its body what an event asks for, without the database.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::store::{ReadOutcome, UnreadEvent};
use crate::stripe::{EventId, FinancingOffer, FinancingTransaction, GenerationFailure, Received};
use crate::telemetry::chain;

/// A note for operators who registered a Connect endpoint. Capital's events belong to the
/// platform's own account (<https://docs.stripe.com/capital/api-integration>).
const CONNECT_ENDPOINT: &str = "arrived through a Connect endpoint: \
    register the webhook for events of your own account instead";

/// What reading an event changes.
#[derive(Debug)]
pub(super) enum Projection {
    Offer(Box<Received<FinancingOffer>>),
    Transaction(Box<Received<FinancingTransaction>>),
    /// An event of Capital of a type that we do not project, such as a credit line's: recorded in
    /// the timeline.
    Unprojected,
    GenerationFailure(EventId),
    Nothing,
}

/// An event with what its body says.
#[derive(Debug)]
pub(super) struct ParsedEvent {
    /// Without its payload.
    pub(super) event: UnreadEvent,
    pub(super) projection: Projection,
    /// What becomes of the event, unless the database rejects it.
    pub(super) outcome: ReadOutcome,
    /// The trace that its jobs continue.
    pub(super) traceparent: Option<String>,
}

/// The parts of a body that decide.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    account: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
}

/// `livemode` is the mode of the API key; `None` if the key does not tell.
pub(super) fn parse(event: &UnreadEvent, livemode: Option<bool>) -> (Projection, ReadOutcome) {
    if matches!((event.livemode, livemode), (Some(event), Some(key)) if event != key) {
        return (Projection::Nothing, ReadOutcome::WrongMode);
    }
    if event.event_type == GenerationFailure::EVENT_TYPE
        && let Ok(id) = event.event_id.parse::<EventId>()
    {
        return (Projection::GenerationFailure(id), ReadOutcome::Read(None));
    }
    let Some(kind) = event.event_type.strip_prefix("capital.") else {
        return (Projection::Nothing, ReadOutcome::Ignored);
    };
    match project(kind, &event.payload) {
        Ok((projection, note)) => (projection, ReadOutcome::Read(note)),
        Err(why) => (Projection::Nothing, ReadOutcome::Unreadable(why)),
    }
}

/// Parses the body of an event of Capital. The note, if any, is a warning for the operator.
fn project(kind: &str, payload: &[u8]) -> Result<(Projection, Option<&'static str>), String> {
    if payload.is_empty() {
        return Err("its body was erased: it cannot be read again".to_owned());
    }
    let body: Body<'_> = serde_json::from_slice(payload).map_err(|error| chain(&error))?;
    let is_about =
        |object: &str| kind.strip_prefix(object).is_some_and(|rest| rest.starts_with('.'));
    let projection = if is_about("financing_offer") {
        Projection::Offer(object(&body, "offer")?)
    } else if is_about("financing_transaction") {
        Projection::Transaction(object(&body, "transaction")?)
    } else {
        Projection::Unprojected
    };
    let names_account = body.account.is_some_and(|account| account.get().starts_with('"'));
    Ok((projection, names_account.then_some(CONNECT_ENDPOINT)))
}

fn object<T: DeserializeOwned>(body: &Body<'_>, what: &str) -> Result<Box<Received<T>>, String> {
    let data = body.data.and_then(|data| serde_json::from_str::<Data<'_>>(data.get()).ok());
    let object = data.and_then(|data| data.object).ok_or("no `data.object`")?;
    let received = Received::read(object);
    received
        .map(Box::new)
        .map_err(|error| format!("data.object is not a known form of {what}: {error}"))
}
