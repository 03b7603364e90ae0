//! `v2.core.health.event_generation_failure.resolved`: an event that Stripe failed to generate and
//! will not deliver (<https://docs.stripe.com/webhooks/handle-irrecoverable-events>).

use serde::Deserialize;

/// The complete event, as Stripe returns it by its id.
#[derive(Clone, Debug, Deserialize)]
pub struct GenerationFailure {
    data: Data,
}

#[derive(Clone, Debug, Deserialize)]
struct Data {
    impact: Impact,
}

#[derive(Clone, Debug, Deserialize)]
struct Impact {
    /// The account that the missing event is about.
    #[serde(default)]
    context: Option<String>,
    /// The name of `context` in API versions before 2025-11-17.
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    related_object: Option<RelatedObject>,
    /// Instead of `related_object` in API versions before 2025-11-17.
    #[serde(default)]
    related_object_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct RelatedObject {
    id: String,
}

impl GenerationFailure {
    /// The type of the event that tells of a failure.
    pub const EVENT_TYPE: &'static str = "v2.core.health.event_generation_failure.resolved";

    /// The first version that names the object and its type.
    pub(super) const API_VERSION: &'static str = "2025-11-17.preview";

    /// The id of the object that changed without an event.
    pub fn object_id(&self) -> Option<&str> {
        let impact = &self.data.impact;
        impact
            .related_object
            .as_ref()
            .map(|object| object.id.as_str())
            .or(impact.related_object_id.as_deref())
    }

    /// The connected account, if the missing event is about one.
    pub fn account_id(&self) -> Option<&str> {
        self.data.impact.context.as_deref().or(self.data.impact.account.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_name_the_object_and_its_account() {
        for impact in [
            json!({"context": "acct_1", "event_type": "capital.financing_offer.created",
                   "related_object": {"id": "financingoffer_1", "type": "x", "url": "/v1/x"}}),
            json!({"account": "acct_1", "related_object_id": "financingoffer_1"}),
        ] {
            let event: GenerationFailure =
                serde_json::from_value(json!({"id": "evt_1", "data": {"impact": impact}})).unwrap();
            assert_eq!(event.object_id(), Some("financingoffer_1"));
            assert_eq!(event.account_id(), Some("acct_1"));
        }
    }
}
