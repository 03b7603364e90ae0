//! The message content after DATA: lines end with CRLF, and a leading dot is doubled.

/// Encodes a message (RFC 5321 section 4.5.2), without the final dot. The result is empty or ends
/// with CRLF.
///
/// Bare CR and bare LF become CRLF before dots are doubled (section 2.3.8): a relay that accepts
/// `LF . LF` as the end of the message would otherwise read the rest as commands (SMTP smuggling,
/// CVE-2023-51764).
pub fn encode(message: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(message.len() + message.len() / 64 + 2);
    let mut at_line_start = true;
    let mut bytes = message.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if matches!(byte, b'\r' | b'\n') {
            if byte == b'\r' {
                bytes.next_if_eq(&b'\n');
            }
            encoded.extend_from_slice(b"\r\n");
            at_line_start = true;
            continue;
        }
        if at_line_start && byte == b'.' {
            encoded.push(b'.');
        }
        encoded.push(byte);
        at_line_start = false;
    }
    if !at_line_start {
        encoded.extend_from_slice(b"\r\n");
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A simple reference implementation: split into lines, then write each.
    fn reference(message: &str) -> String {
        let unified = message.replace("\r\n", "\n").replace('\r', "\n");
        let lines = unified.strip_suffix('\n').unwrap_or(&unified);
        if unified.is_empty() {
            return String::new();
        }
        let stuffed =
            |line: &str| if line.starts_with('.') { format!(".{line}") } else { line.to_owned() };
        lines.split('\n').map(|line| stuffed(line) + "\r\n").collect()
    }

    /// Decodes as a receiver does.
    fn decoded(encoded: &str) -> String {
        encoded.split_inclusive("\r\n").map(|line| line.strip_prefix('.').unwrap_or(line)).collect()
    }

    #[test]
    fn leading_dots_are_doubled() {
        for (message, encoded) in [
            ("", ""),
            ("a", "a\r\n"),
            ("a\r\n", "a\r\n"),
            (".", "..\r\n"),
            (".\r\n..\r\na.\r\n.b", "..\r\n...\r\na.\r\n..b\r\n"),
            ("a\n.\nQUIT\n", "a\r\n..\r\nQUIT\r\n"),
            ("a\r.\rb\r", "a\r\n..\r\nb\r\n"),
            ("\r\r\n\n", "\r\n\r\n\r\n"),
        ] {
            assert_eq!(
                String::from_utf8(encode(message.as_bytes())).unwrap(),
                encoded,
                "{message:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn encoding_matches_the_reference_and_round_trips(message in "[a.\r\n]{0,60}") {
            let encoded = String::from_utf8(encode(message.as_bytes())).unwrap();
            prop_assert_eq!(&encoded, &reference(&message));
            // No receiver, strict or lenient, sees an end of message in the content.
            let bare = encoded.replace("\r\n", "");
            prop_assert!(!bare.contains(['\r', '\n']));
            let after_data = ["\r\n", &encoded].concat();
            prop_assert!(!after_data.contains("\r\n.\r\n"));
            let mut expected = message.replace("\r\n", "\n").replace('\r', "\n");
            if !expected.is_empty() && !expected.ends_with('\n') {
                expected.push('\n');
            }
            prop_assert_eq!(decoded(&encoded).replace("\r\n", "\n"), expected);
        }
    }
}
