//! Replies (RFC 5321 section 4.2), parsed from bytes as they arrive.
//!
//! The parser performs no I/O, visits each byte once and stores a bounded number of bytes, so a
//! relay can exhaust neither memory nor CPU time. Only the digits are interpreted; the text is
//! decoded lossily. Lines may end with LF alone.

use std::fmt;

/// RFC 5321 section 4.5.3.1.5 allows 512; Postfix reads 2,048 (`line_length_limit`). The rest of a
/// longer line is dropped: its code is already known.
const MAX_LINE_BYTES: usize = 2_048;
/// Relays reply to EHLO with about 20 lines, and to a refused command with about 10.
const MAX_LINES: usize = 128;
/// All bytes read for one reply, including dropped ones.
const MAX_REPLY_BYTES: usize = 64 * 1024;

/// A complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    lines: Vec<String>,
}

/// Why the input is not a reply. The session cannot continue, because the start of the next reply
/// is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    #[error("the relay sent a line that is not an SMTP reply")]
    Malformed,
    /// The reply does not end.
    #[error("the relay sent a reply longer than {MAX_REPLY_BYTES} bytes")]
    TooLong,
    /// The reply does not end.
    #[error("the relay sent a reply of more than {MAX_LINES} lines")]
    TooManyLines,
}

/// Parses one reply at a time. Must not be used after an error.
#[derive(Debug, Default)]
pub struct ReplyParser {
    line: Vec<u8>,
    received_bytes: usize,
    code: u16,
    lines: Vec<String>,
}

impl Reply {
    /// The three-digit code, 200 to 599. All lines of a reply should have the same code (RFC 5321
    /// section 4.2.1). If they differ, this is the highest: clients disagree about which line
    /// counts (Postfix uses the last, Exim the first), and the highest never turns a refusal on any
    /// line into an acceptance.
    pub fn code(&self) -> u16 {
        self.code
    }

    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Whether the code is 4xx or 5xx.
    pub fn is_refusal(&self) -> bool {
        matches!(self.code / 100, 4 | 5)
    }
}

/// `250 2.0.0 queued`, with the lines joined by spaces.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.lines.join(" "))
    }
}

impl ReplyParser {
    /// Consumes bytes up to the end of a reply. Returns the number consumed, and the reply once it
    /// is complete; the parser is then ready for the next one.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        for (position, &byte) in bytes.iter().enumerate() {
            self.received_bytes += 1;
            if self.received_bytes > MAX_REPLY_BYTES {
                return Err(ReplyError::TooLong);
            }
            if byte != b'\n' {
                if self.line.len() < MAX_LINE_BYTES {
                    self.line.push(byte);
                }
            } else if let Some(reply) = self.end_line()? {
                return Ok((position + 1, Some(reply)));
            }
        }
        Ok((bytes.len(), None))
    }

    fn end_line(&mut self) -> Result<Option<Reply>, ReplyError> {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let (code, is_last, text) = split(line).ok_or(ReplyError::Malformed)?;
        self.code = self.code.max(code);
        self.lines.push(String::from_utf8_lossy(text).into_owned());
        self.line.clear();
        if is_last {
            let Self { code, lines, .. } = std::mem::take(self);
            return Ok(Some(Reply { code, lines }));
        }
        if self.lines.len() >= MAX_LINES { Err(ReplyError::TooManyLines) } else { Ok(None) }
    }
}

/// The code, whether this is the last line, and the text. A bare code is a valid line (RFC 5321
/// section 4.2).
fn split(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    if !digits.iter().all(u8::is_ascii_digit) || !(b'2'..=b'5').contains(&digits[0]) {
        return None;
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest {
        [b'-', text @ ..] => Some((code, false, text)),
        [b' ' | b'\t', text @ ..] => Some((code, true, text)),
        // Four digits are not a reply code.
        [digit, ..] if digit.is_ascii_digit() => None,
        text => Some((code, true, text)),
    }
}

/// Parses all input and returns the complete replies. For tests and fuzzing.
pub fn parse_replies(mut bytes: &[u8]) -> Result<Vec<Reply>, ReplyError> {
    let (mut parser, mut replies) = (ReplyParser::default(), Vec::new());
    while !bytes.is_empty() {
        let (consumed, reply) = parser.push(bytes)?;
        replies.extend(reply);
        bytes = &bytes[consumed..];
    }
    Ok(replies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(bytes: &[u8]) -> Reply {
        let mut replies = parse_replies(bytes).unwrap();
        assert_eq!(replies.len(), 1, "{replies:?}");
        replies.remove(0)
    }

    #[test]
    fn a_reply_has_a_code_and_one_or_more_lines() {
        for (bytes, shown) in [
            (&b"250 ok\r\n"[..], "250 ok"),
            (b"250-relay.example\r\n250-SIZE 10\r\n250 HELP\r\n", "250 relay.example SIZE 10 HELP"),
            (b"250\r\n", "250 "),
            (b"250 \n", "250 "),
            (b"354-a\n354 b\n", "354 a b"),
            (b"250 Nachricht \xfcbernommen\r\n", "250 Nachricht \u{fffd}bernommen"),
            (b"250 a\0b\rc\r\n", "250 a\0b\rc"),
            (b"250\xa0ok\r\n", "250 \u{fffd}ok"),
        ] {
            assert_eq!(one(bytes).to_string(), shown);
        }
    }

    #[test]
    fn the_highest_code_of_a_reply_counts() {
        for (bytes, code) in [
            (&b"250-a\r\n550 b\r\n"[..], 550),
            (b"550-a\r\n250 b\r\n", 550),
            (b"354-a\r\n250 b\r\n", 354),
            (b"250-a\r\n251 b\r\n", 251),
        ] {
            assert_eq!(one(bytes).code(), code);
        }
    }

    #[test]
    fn malformed_replies_are_errors() {
        for bytes in [
            &b"\r\n"[..],
            b"25\r\n",
            b"ok\r\n",
            b"2500 ok\r\n",
            b"150 ok\r\n",
            b"650 ok\r\n",
            b" 250 ok\r\n",
            b"250-a\r\nb\r\n",
            b"+1 ok\r\n",
        ] {
            assert_eq!(parse_replies(bytes), Err(ReplyError::Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn long_lines_are_cut_and_endless_replies_are_errors() {
        let long = [b"250 ".as_slice(), &[b'x'; 10_000], b"\r\n"].concat();
        let reply = one(&long);
        assert_eq!((reply.code(), reply.lines()[0].len()), (250, MAX_LINE_BYTES - 4));
        let endless = [b"250 ".as_slice(), &b"x".repeat(MAX_REPLY_BYTES)].concat();
        assert_eq!(parse_replies(&endless), Err(ReplyError::TooLong));
        assert_eq!(parse_replies(&b"250-x\r\n".repeat(MAX_LINES)), Err(ReplyError::TooManyLines));
    }

    proptest! {
        #[test]
        fn chunking_does_not_change_the_result(
            bytes in prop::collection::vec(
                prop_oneof![
                    Just(b'2'),
                    Just(b'5'),
                    Just(b'0'),
                    Just(b'-'),
                    Just(b' '),
                    Just(b'\n'),
                    any::<u8>(),
                ],
                0..300,
            ),
            piece in 1_usize..20,
        ) {
            let (mut parser, mut replies, mut failed) = (ReplyParser::default(), Vec::new(), None);
            'pieces: for mut piece in bytes.chunks(piece) {
                while !piece.is_empty() {
                    match parser.push(piece) {
                        Ok((consumed, reply)) => {
                            prop_assert!(consumed > 0);
                            replies.extend(reply);
                            piece = &piece[consumed..];
                        }
                        Err(error) => {
                            failed = Some(error);
                            break 'pieces;
                        }
                    }
                }
            }
            prop_assert_eq!(failed.map_or(Ok(replies), Err), parse_replies(&bytes));
        }

        #[test]
        fn replies_round_trip(
            code in 200_u16..600,
            lines in prop::collection::vec("[ -~]{0,80}", 1..20),
        ) {
            let (last, others) = lines.split_last().unwrap();
            let mut written: Vec<String> =
                others.iter().map(|line| format!("{code}-{line}\r\n")).collect();
            written.push(format!("{code} {last}\r\n"));
            let reply = one(written.concat().as_bytes());
            prop_assert_eq!((reply.code(), reply.lines()), (code, lines.as_slice()));
        }
    }
}
