//! The message as it goes over the wire (RFC 5322, RFC 2046): headers, a text part, an HTML part, and the signature over them.
//!
//! A letter that is put together twice from the same words differs in `Date` and in the signature alone.

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

/// What goes into one message.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    pub letter_id: &'a str,
    /// Without its angle brackets.
    pub message_id: &'a str,
    /// As in `letters.kind`.
    pub kind: &'a str,
    /// As in `letters.locale`.
    pub locale: &'a str,
    /// Whom it goes to.
    pub to: &'a Address,
    pub subject: &'a str,
    pub text: &'a str,
    pub html: &'a str,
    /// By which the merchant stops the letters.
    pub unsubscribe_url: Option<&'a Url>,
    /// The header `Date`.
    pub at: DateTime<Utc>,
}

/// A message that is ready to be handed over.
#[derive(Debug)]
pub struct Ready {
    pub envelope: Envelope,
    pub bytes: Vec<u8>,
}

/// Puts the message together. The blind copy is in the envelope alone, as its name says.
pub fn assemble(parts: &Parts<'_>, sender: &Sender) -> Result<Ready, lettre::error::Error> {
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
    // Keep out-of-office answers away: RFC 3834 section 5; what came before it and is still asked for; and Exchange, which is to go on
    // telling of letters that it cannot deliver (MS-OXCMAIL section 2.1.3.2.20).
    raw_header(&mut message, "Auto-Submitted", "auto-generated".to_owned());
    // Two mail senders do not keep the Message-ID, or do not tell it: these are theirs, and taken out by them. To others they say no
    // more than the Message-ID does.
    raw_header(&mut message, "X-PM-Metadata-letter-id", parts.letter_id.to_owned());
    let unique_args = serde_json::json!({"unique_args": {"letter_id": parts.letter_id}});
    raw_header(&mut message, "X-SMTPAPI", unique_args.to_string());
    raw_header(&mut message, "Precedence", "bulk".to_owned());
    raw_header(&mut message, "X-Auto-Response-Suppress", "OOF, AutoReply".to_owned());
    raw_header(&mut message, "Feedback-ID", feedback_id(parts, sender.from.domain()));
    // RFC 2369 section 3.2; and RFC 8058: the mail program may post to the link by itself.
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
        dkim.sign(&mut message);
    }
    let recipients = std::iter::once(parts.to)
        .chain(&sender.bcc)
        .map(|address| address.inner().clone())
        .collect();
    let own = sender.return_path.as_ref().and_then(|path| path.of(parts.letter_id));
    let return_path = own.unwrap_or_else(|| sender.from.inner().email.clone());
    let envelope = Envelope::new(Some(return_path), recipients)?;
    Ok(Ready { envelope, bytes: message.formatted() })
}

/// The two parts, and what says that they are two. That stands among the headers of the message, rather than in front of its parts
/// where lettre has it, because lettre signs what it finds there.
///
/// The boundary is the letter's id, which no part tells of: a letter that is sent twice is the same one.
fn body(parts: &Parts<'_>) -> (ContentType, Body) {
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
    // Each part is encoded already, so that all is ASCII.
    (content_type, Body::dangerous_pre_encoded(content, ContentTransferEncoding::SevenBit))
}

/// By which Gmail says what people complain about (<https://support.google.com/mail/answer/6254652>): what the letter is for, its
/// language, what all of them are about, and the sender. Never anything by which one could tell who got it.
fn feedback_id(parts: &Parts<'_>, domain: &str) -> String {
    format!("{}:{}:capital-offer:{}", parts.kind, parts.locale, sender_id(domain))
}

/// Gmail wants five to fifteen characters that stay the same.
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
