//! Makes external text storable: no text type of Postgres can hold NUL, and `jsonb` cannot hold
//! `\u0000`.

/// Replaces each NUL by U+FFFD.
pub fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// JSON as text, to be bound as `$1::text::json`. sqlx would send a JSON value as `jsonb`, which
/// rejects `\u0000`; `json` stores the text unchanged.
pub fn json_text(value: &serde_json::Value) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stored_text_has_no_nul() {
        assert_eq!(storable("a\0b\0"), "a\u{fffd}b\u{fffd}");
        assert_eq!(storable("plain"), "plain");
        let text = json_text(&json!({"a\0": "b\0"}));
        assert!(!text.contains('\0') && text.contains("\\u0000"), "{text}");
    }
}
