//! Text from outside, as Postgres can keep it: none of its text types has a way to write a NUL, and
//! `jsonb` has none to write `\u0000`.

/// Text with a mark in the place of each NUL.
pub fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// JSON as text, to be bound as `$1::text::json`. Bound as a value it would be sent as `jsonb`,
/// which refuses `\u0000`; `json` keeps the text as it is.
pub fn json_text(value: &serde_json::Value) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_that_is_to_be_kept_has_a_nul_in_it() {
        assert_eq!(storable("a\0b\0"), "a\u{fffd}b\u{fffd}");
        assert_eq!(storable("plain"), "plain");
        let text = json_text(&json!({"a\0": "b\0"}));
        assert!(!text.contains('\0') && text.contains("\\u0000"), "{text}");
    }
}
