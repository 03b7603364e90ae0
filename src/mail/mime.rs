//! Assembles the message as it is transmitted (RFC 5322, RFC 2046): headers, a text part, an HTML
//! part, and the DKIM signature.
//!
//! Assembling the same letter twice yields the same bytes, except for `Date` and the signature.

use chrono::{DateTime, Utc};
use lettre::Message;
use lettre::address::Envelope;
use lettre::message::header::{
    ContentTransferEncoding, ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0,
};
use lettre::message::{Body, MultiPart, MultiPartKind, SinglePart};
use url::Url;

use super::Sender;
use super::address::Address;

/// The input of one message.
#[derive(Clone, Copy, Debug)]
pub struct MessageParts<'a> {
    pub letter_id: &'a str,
    /// Without angle brackets.
    pub message_id: &'a str,
    /// As in `letters.kind`.
    pub kind: &'a str,
    /// As in `letters.locale`.
    pub locale: &'a str,
    pub to: &'a Address,
    pub subject: &'a str,
    pub text: &'a str,
    pub html: &'a str,
    /// The one-click unsubscribe link.
    pub unsubscribe_url: Option<&'a Url>,
    /// The header `Date`.
    pub at: DateTime<Utc>,
}

/// A message ready for delivery.
#[derive(Debug)]
pub struct AssembledMessage {
    pub envelope: Envelope,
    pub bytes: Vec<u8>,
}

/// Assembles and signs the message. The blind copy appears in the envelope only.
pub fn assemble(
    parts: &MessageParts<'_>,
    sender: &Sender,
) -> Result<AssembledMessage, lettre::error::Error> {
    let (content_type, content) = body(parts);
    let mut message = Message::builder()
        .from(sender.from.inner().clone())
        .reply_to(sender.reply_to.inner().clone())
        .to(lettre::message::Mailbox::new(None, parts.to.inner().clone()))
        .subject(parts.subject)
        .message_id(Some(format!("<{}>", parts.message_id)))
        .date(parts.at.into())
        .header(MIME_VERSION_1_0)
        .header(content_type)
        .body(content)?;
    // Suppress automatic replies: RFC 3834 section 5; its predecessor, `Precedence`, which some
    // servers still expect; and Exchange, which must still send non-delivery reports (MS-OXCMAIL
    // section 2.1.3.2.20).
    raw_header(&mut message, "Auto-Submitted", "auto-generated".to_owned());
    // Postmark and SendGrid replace or omit the Message-ID in their webhooks. They remove these
    // headers from the message; for anyone else they reveal no more than the Message-ID does.
    raw_header(&mut message, "X-PM-Metadata-letter-id", parts.letter_id.to_owned());
    let unique_args = serde_json::json!({"unique_args": {"letter_id": parts.letter_id}});
    raw_header(&mut message, "X-SMTPAPI", unique_args.to_string());
    raw_header(&mut message, "Precedence", "bulk".to_owned());
    raw_header(&mut message, "X-Auto-Response-Suppress", "OOF, AutoReply".to_owned());
    raw_header(&mut message, "Feedback-ID", feedback_id(parts, sender.from.domain()));
    // RFC 2369 section 3.2, and RFC 8058: the mail program may post to the link by itself.
    let by_mail = format!("<mailto:{}?subject=unsubscribe>", sender.reply_to.address());
    match parts.unsubscribe_url {
        None => raw_header(&mut message, "List-Unsubscribe", by_mail),
        Some(url) => {
            raw_header(&mut message, "List-Unsubscribe", format!("<{url}>, {by_mail}"));
            raw_header(
                &mut message,
                "List-Unsubscribe-Post",
                "List-Unsubscribe=One-Click".to_owned(),
            );
        }
    }

    if let Some(dkim) = &sender.dkim {
        // Last, because a later change to the headers would break the signature.
        dkim.sign(&mut message);
    }
    let recipients = std::iter::once(parts.to)
        .chain(&sender.bcc)
        .map(|address| address.inner().clone())
        .collect();
    let per_letter = sender.return_path.as_ref().and_then(|path| path.for_letter(parts.letter_id));
    let return_path = per_letter.unwrap_or_else(|| sender.from.inner().email.clone());
    let envelope = Envelope::new(Some(return_path), recipients)?;
    Ok(AssembledMessage { envelope, bytes: message.formatted() })
}

/// Both parts, and the Content-Type that declares them. The Content-Type is set among the message's
/// headers, because lettre signs only headers that it finds there.
///
/// The boundary is derived from the Message-ID and not random, so that a letter that is sent again
/// has the same bytes.
fn body(parts: &MessageParts<'_>) -> (ContentType, Body) {
    let id = parts.message_id.split('@').next().unwrap_or_default();
    let both = MultiPart::builder()
        .kind(MultiPartKind::Alternative)
        .boundary(format!("=_{id}"))
        .singlepart(SinglePart::plain(parts.text.to_owned()))
        .singlepart(SinglePart::html(parts.html.to_owned()));
    let content_type = both.headers().get().expect("a multipart has a Content-Type");
    let mut content = both.formatted();
    let head = both.headers().to_string().len() + "\r\n".len();
    content.drain(..head);
    // Each part is already encoded, so the content is ASCII.
    (content_type, Body::dangerous_pre_encoded(content, ContentTransferEncoding::SevenBit))
}

/// `Feedback-ID`, by which Gmail groups complaints
/// (<https://support.google.com/mail/answer/6254652>): kind, language, campaign and sender. Never
/// contains anything that identifies the recipient.
fn feedback_id(parts: &MessageParts<'_>, domain: &str) -> String {
    format!("{}:{}:capital-offer:{}", parts.kind, parts.locale, sender_id(domain))
}

/// Gmail expects a stable id of 5 to 15 characters.
fn sender_id(domain: &str) -> String {
    let short: String = domain.chars().take(15).collect();
    if short.len() < 5 { format!("mail.{short}") } else { short }
}

fn raw_header(message: &mut Message, name: &'static str, value: String) {
    message.headers_mut().insert_raw(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
}

#[cfg(test)]
mod tests {
    use super::sender_id;

    #[test]
    fn gmails_sender_id_has_five_to_fifteen_characters() {
        for (domain, id) in [
            ("rocket.example", "rocket.example"),
            ("capital.rocket.example", "capital.rocket."),
            ("x.co", "mail.x.co"),
        ] {
            assert_eq!(sender_id(domain), id);
        }
    }
}
