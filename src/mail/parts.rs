//! Splits a message into its MIME parts (RFC 2046), with bounded depth and number of parts.
//!
//! `mail_parser` parses the header fields, which it does without recursion. Its parser for whole
//! messages is not used: it drops and clones nested messages recursively, so that a message of
//! about 500 KB overflows the stack. Here the pending parts are in a list, so that no input
//! controls the depth of the stack.

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, Encoding, GetHeader, Header, HeaderName, MessageParser};

/// A report has three levels, a forwarded one a few more.
pub const MAX_DEPTH: usize = 16;
/// A report has three parts, and the letter in it a few.
pub const MAX_PARTS: usize = 250;
/// Later headers are ignored. The headers of mail that passed many servers have about 20 KB.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// The message exceeds [`MAX_DEPTH`] or [`MAX_PARTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooComplex;

/// A part of a message and the header fields that we use.
#[derive(Debug)]
pub struct MimePart<'a> {
    /// In lower case; empty if no type is given.
    kind: String,
    subtype: String,
    boundary: Option<String>,
    charset: Option<String>,
    encoding: Encoding,
    /// `Content-Disposition: attachment` (RFC 2183).
    pub is_attachment: bool,
    /// Without angle brackets.
    pub message_id: Option<String>,
    /// The raw values of the fields in `RECIPIENT_FIELDS`.
    pub recipients: Vec<&'a str>,
    body: &'a [u8],
}

/// Header fields that contain the address at which a message arrived.
const RECIPIENT_FIELDS: [&str; 5] =
    ["to", "delivered-to", "x-original-to", "original-rcpt-to", "envelope-to"];

/// A part not yet parsed.
struct PendingPart<'a> {
    bytes: &'a [u8],
    depth: usize,
    /// Part of a message that is attached to the outer one.
    is_embedded: bool,
}

/// The message itself and its parts, in order, without the parts of attached messages. Those count
/// towards the limit.
pub fn split(message: &[u8]) -> Result<Vec<MimePart<'_>>, TooComplex> {
    let mut parts = Vec::new();
    let mut unread = vec![PendingPart { bytes: message, depth: 0, is_embedded: false }];
    let mut count = 0;
    while let Some(PendingPart { bytes, depth, is_embedded }) = unread.pop() {
        count += 1;
        if depth > MAX_DEPTH || count > MAX_PARTS {
            return Err(TooComplex);
        }
        let part = MimePart::read(bytes);
        let is_embedded_below = is_embedded || part.is_message();
        let children = part.children();
        // The list is a stack, so children are pushed in reverse to be visited in order.
        unread.extend(children.into_iter().rev().map(|bytes| PendingPart {
            bytes,
            depth: depth + 1,
            is_embedded: is_embedded_below,
        }));
        if !is_embedded {
            parts.push(part);
        }
    }
    Ok(parts)
}

impl<'a> MimePart<'a> {
    /// Parses the headers. Bytes without headers are a part without a type.
    pub fn read(bytes: &'a [u8]) -> Self {
        let head = &bytes[..bytes.len().min(MAX_HEADER_BYTES)];
        let mut headers = Vec::new();
        let mut stream = MessageStream::new(head);
        let is_whole = stream.parse_headers(&fields(), &mut headers);
        let body = if is_whole { bytes.get(stream.offset()..).unwrap_or_default() } else { &[] };
        let value = |name| headers.header_value(&name);
        let content_type = value(HeaderName::ContentType).and_then(|value| value.as_content_type());
        let text = |name| value(name).and_then(|value| value.as_text());
        let lower = |text: &str| text.to_ascii_lowercase();
        let is_recipient = |header: &&Header<'_>| {
            RECIPIENT_FIELDS.iter().any(|name| header.name.as_str().eq_ignore_ascii_case(name))
        };
        let raw = |header: &Header<'_>| {
            let range = header.offset_start as usize..header.offset_end as usize;
            std::str::from_utf8(head.get(range)?).ok()
        };
        Self {
            kind: content_type.map(ContentType::ctype).map(lower).unwrap_or_default(),
            subtype: content_type.and_then(ContentType::subtype).map(lower).unwrap_or_default(),
            boundary: content_type.and_then(|found| found.attribute("boundary")).map(str::to_owned),
            charset: content_type.and_then(|found| found.attribute("charset")).map(str::to_owned),
            is_attachment: value(HeaderName::ContentDisposition)
                .and_then(|value| value.as_content_type())
                .is_some_and(ContentType::is_attachment),
            encoding: text(HeaderName::ContentTransferEncoding)
                .map_or(Encoding::None, transfer_encoding),
            message_id: text(HeaderName::MessageId).map(str::to_owned),
            recipients: headers.iter().filter(is_recipient).filter_map(raw).collect(),
            body,
        }
    }

    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind == kind && self.subtype == subtype
    }

    /// Whether this is an attached message.
    pub fn is_message(&self) -> bool {
        self.is("message", "rfc822") || self.is("message", "global")
    }

    /// The decoded body, or the raw one if it cannot be decoded.
    pub fn contents(&self) -> Cow<'a, [u8]> {
        let decoded = match self.encoding {
            Encoding::None => None,
            Encoding::Base64 => base64_decode(self.body),
            Encoding::QuotedPrintable => quoted_printable_decode(self.body),
        };
        decoded.map_or(Cow::Borrowed(self.body), Cow::Owned)
    }

    /// The decoded body as text. Bytes that its charset does not allow, or of an unknown charset,
    /// become replacement characters.
    pub fn text(&self) -> String {
        let contents = self.contents();
        match self.charset.as_ref().and_then(|name| charset_decoder(name.as_bytes())) {
            Some(decode) => decode(&contents),
            None => String::from_utf8_lossy(&contents).into_owned(),
        }
    }

    /// The direct children, at most one more than [`MAX_PARTS`].
    fn children(&self) -> Vec<&'a [u8]> {
        if self.is_message() && self.encoding == Encoding::None {
            return vec![self.body];
        }
        match &self.boundary {
            Some(boundary) if self.kind == "multipart" && !boundary.is_empty() => {
                split_at_boundary(self.body, boundary.as_bytes())
            }
            Some(_) | None => Vec::new(),
        }
    }
}

/// The header fields of a message, in order: names and unfolded values, with encoded words (RFC
/// 2047) decoded.
pub fn header_fields(message: &[u8]) -> Vec<(String, String)> {
    let head = &message[..message.len().min(MAX_HEADER_BYTES)];
    let mut headers = Vec::new();
    // A parser without any rule of its own would use its built-in ones for each field.
    let as_text = MessageParser::new().header_text(HeaderName::Subject).default_header_text();
    MessageStream::new(head).parse_headers(&as_text, &mut headers);
    let field = |header: &Header<'_>| {
        let value = header.value.as_text().unwrap_or_default();
        (header.name.as_str().to_owned(), value.to_owned())
    };
    headers.iter().map(field).collect()
}

/// Parses `Content-Transfer-Encoding` (RFC 2045 section 6).
fn transfer_encoding(name: &str) -> Encoding {
    match name.trim().to_ascii_lowercase().as_str() {
        "base64" => Encoding::Base64,
        "quoted-printable" => Encoding::QuotedPrintable,
        _ => Encoding::None,
    }
}

/// A parser for the fields used here; of all others only the position is recorded.
fn fields() -> MessageParser {
    MessageParser::new()
        .header_content_type(HeaderName::ContentType)
        .header_content_type(HeaderName::ContentDisposition)
        .header_text(HeaderName::ContentTransferEncoding)
        .header_id(HeaderName::MessageId)
        .default_header_ignore()
}

/// The bytes between the boundary lines of a multipart. If the final boundary is missing, the last
/// part extends to the end.
fn split_at_boundary<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut begin = None;
    let mut position = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let after = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary));
        if let Some(after) = after {
            let is_last = after.starts_with(b"--");
            if is_last || after.trim_ascii().is_empty() {
                parts.extend(begin.map(|begin| without_line_end(&body[begin..position])));
                begin = (!is_last).then_some(position + line.len());
                if is_last || parts.len() > MAX_PARTS {
                    break;
                }
            }
        }
        position += line.len();
    }
    parts.extend(begin.map(|begin| body.get(begin..).unwrap_or_default()));
    parts
}

/// The line end before a boundary belongs to the boundary.
fn without_line_end(part: &[u8]) -> &[u8] {
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    part.strip_suffix(b"\r").unwrap_or(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(level: &str, levels: usize) -> Vec<u8> {
        (level.repeat(levels) + "A: b\n\nx").into_bytes()
    }

    fn multiparts(levels: usize) -> Vec<u8> {
        let level = |n: usize| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n");
        ((0..levels).map(level).collect::<String>() + "\nx").into_bytes()
    }

    #[test]
    fn parts_are_returned_in_order_with_their_contents() {
        let message =
            b"To: <a@x.example>\r\nContent-Type: Multipart/Report; boundary=\"b\"\r\n\r\npreamble\r\n\
            --b\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n--b1 \r\n\r\none\r\n--b1--\r\n\
            --b\r\nContent-Type: TEXT/plain\r\nContent-Transfer-Encoding: base64\r\n\r\ndHdv\r\n\
            --b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <3@x>\r\n\r\n\
            --b\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\nf=6Fur";
        let parts = split(message).unwrap();
        let seen: Vec<(String, String)> = parts
            .iter()
            .map(|part| {
                let contents = String::from_utf8(part.contents().into_owned()).unwrap();
                (
                    format!("{}/{}", part.kind, part.subtype),
                    contents.lines().last().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        let expected = [
            ("multipart/report", "f=6Fur"),
            ("multipart/mixed", "--b1--"),
            ("/", "one"),
            ("text/plain", "two"),
            ("message/rfc822", "Message-ID: <3@x>"),
            ("/", "four"),
        ];
        assert_eq!(seen, expected.map(|(kind, last)| (kind.to_owned(), last.to_owned())));
        assert_eq!(parts[0].recipients, [" <a@x.example>\r\n"]);
        assert_eq!(MimePart::read(&parts[4].contents()).message_id.as_deref(), Some("3@x"));
    }

    #[test]
    fn depth_is_bounded_in_every_spelling() {
        for level in [
            "Content-Type:message/rfc822\n\n",
            "content-type:\r\n MESSAGE/RFC822\r\n\r\n",
            "Content-Type: message(x)/(y)rfc822; a=b\n\n",
            "Content-Type: message/global\n\n",
            "Content-Type: text/plain\nContent-Type: message/rfc822\n\n",
        ] {
            assert!(split(&nested(level, MAX_DEPTH)).is_ok(), "{level}");
            for levels in [MAX_DEPTH + 1, 25_000, 100_000] {
                assert!(split(&nested(level, levels)).is_err(), "{level} {levels}");
            }
        }
        assert!(split(&multiparts(MAX_DEPTH)).is_ok());
        assert!(split(&multiparts(100_000)).is_err());
    }

    #[test]
    fn the_number_of_parts_is_bounded() {
        let flat = |parts: usize| {
            format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(parts))
                .into_bytes()
        };
        assert_eq!(split(&flat(MAX_PARTS - 1)).unwrap().len(), MAX_PARTS);
        for parts in [MAX_PARTS, 200_000] {
            assert!(split(&flat(parts)).is_err(), "{parts}");
        }
        // Nested parts count together.
        let two =
            |inner: &str| format!("--b\nContent-Type: multipart/mixed; boundary=c\n\n{inner}");
        let wide = two(&"--c\n\nx\n".repeat(MAX_PARTS / 2 + 1)).repeat(2);
        let wide = format!("Content-Type: multipart/mixed; boundary=b\n\n{wide}");
        assert!(split(wide.as_bytes()).is_err());
    }

    #[test]
    fn malformed_messages_are_parsed_as_far_as_possible() {
        for broken in [
            &b""[..],
            b"\n",
            b"\n\n",
            b"no header",
            b"Content-Type: multipart/mixed; boundary=b\n\n",
            b"Content-Type: multipart/mixed; boundary=\n\n--\n",
            b"Content-Type: multipart/mixed; boundary=b\n\n--b--\n--b\n\nx",
            b"Content-Type: multipart/mixed; boundary=b\n\n--b",
            b"Content-Type: message/rfc822\n\n",
            b"Content-Type: \xff/\xff\nTo: \xff\n\n\xff",
        ] {
            assert!(split(broken).is_ok());
        }
        let long = format!("A: b\n{}\n\nbody", "X: y\n".repeat(100_000));
        assert_eq!(split(long.as_bytes()).unwrap()[0].body, b"");
    }
}
