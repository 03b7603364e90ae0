//! What an email shows of itself: its header fields, its text and its HTML.

use crate::mail::parts::{self, TooComplex};

/// An email, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedEmail {
    /// In order, with encoded words decoded.
    pub headers: Vec<(String, String)>,
    /// Of the first `text/plain` part.
    pub text: Option<String>,
    /// Of the first `text/html` part.
    pub html: Option<String>,
}

impl ParsedEmail {
    /// Reads what can be read: bytes that are no email have no header fields and are a text.
    pub fn parse(bytes: &[u8]) -> Self {
        let headers = parts::header_fields(bytes);
        let parts = match parts::split(bytes) {
            Ok(parts) => parts,
            Err(TooComplex) => return Self { headers, ..Self::default() },
        };
        let first = |subtype: &str| {
            let is_shown =
                |part: &&parts::MimePart<'_>| !part.is_attachment && part.is("text", subtype);
            parts.iter().find(is_shown).map(parts::MimePart::text)
        };
        // Without a Content-Type, the message is plain text (RFC 2045 section 5.2).
        let untyped = || parts.first().filter(|part| part.is("", "")).map(parts::MimePart::text);
        Self { headers, text: first("plain").or_else(untyped), html: first("html") }
    }

    /// The first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The email with each of its texts changed, header fields included.
    #[must_use]
    pub fn map(self, change: impl Fn(&str) -> String) -> Self {
        Self {
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), change(value)))
                .collect(),
            text: self.text.as_deref().map(&change),
            html: self.html.as_deref().map(&change),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMAIL: &[u8] = b"From: Rocket <capital@rocket.example>\r\n\
        Subject: =?utf-8?Q?Angebot_=C3=BCber_5=E2=80=AF000=C2=A0=E2=82=AC?=\r\n\
        X-Long: one\r\n two\r\n\
        Content-Type: multipart/mixed; boundary=m\r\n\r\n\
        --m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
        --a\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n\
        --a\r\nContent-Type: text/html; charset=utf-8\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nPHA+R3LDvMOfZTwvcD4=\r\n--a--\r\n\
        --m\r\nContent-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nattached\r\n--m--\r\n";

    #[test]
    fn parts_and_header_fields_are_decoded() {
        let email = ParsedEmail::parse(EMAIL);
        assert_eq!(email.header("subject"), Some("Angebot über 5\u{202f}000\u{a0}€"));
        assert_eq!(email.header("From"), Some("Rocket <capital@rocket.example>"));
        assert_eq!(email.header("X-Long"), Some("one two"));
        assert_eq!(email.text.as_deref(), Some("Grüße"));
        assert_eq!(email.html.as_deref(), Some("<p>Grüße</p>"));
    }

    #[test]
    fn an_attachment_is_not_the_text() {
        let attached = b"Content-Type: multipart/mixed; boundary=m\r\n\r\n\
            --m\r\nContent-Type: text/plain\r\nContent-Disposition: Attachment; filename=a\r\n\r\na\r\n\
            --m\r\nContent-Type: text/plain; charset=odd\r\n\r\n\xffb\r\n--m--\r\n";
        assert_eq!(ParsedEmail::parse(attached).text.as_deref(), Some("\u{fffd}b"));
    }

    #[test]
    fn what_is_no_email_is_shown_as_far_as_possible() {
        assert_eq!(ParsedEmail::parse(b"").html, None);
        assert_eq!(ParsedEmail::parse(b"A: b\r\n\r\nplain").text.as_deref(), Some("plain"));
        let deep = "Content-Type: message/rfc822\n\n".repeat(100_000);
        let email = ParsedEmail::parse(format!("Subject: deep\n{deep}").as_bytes());
        assert_eq!((email.header("Subject"), email.text.as_deref()), (Some("deep"), None));
    }

    #[test]
    fn a_change_reaches_every_text() {
        let email = ParsedEmail::parse(EMAIL).map(|text| text.replace("ü", "ue"));
        assert_eq!(email.header("Subject"), Some("Angebot ueber 5\u{202f}000\u{a0}€"));
        assert_eq!(
            (email.text.as_deref(), email.html.as_deref()),
            (Some("Grueße"), Some("<p>Grueße</p>"))
        );
    }
}
