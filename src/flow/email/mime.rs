//! The message as it goes over the wire (RFC 5322, RFC 2046): headers, a text part, an HTML part.

use chrono::{DateTime, Utc};
use lettre::Message;
use lettre::address::Envelope;
use lettre::message::MultiPart;
use lettre::message::header::{HeaderName, HeaderValue};
use url::Url;

use super::Settings;
use super::address::Address;

/// What goes into one message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    pub(super) letter_id: &'a str,
    /// Without its angle brackets.
    pub(super) message_id: &'a str,
    /// Whom it goes to.
    pub(super) to: &'a Address,
    pub(super) subject: &'a str,
    pub(super) text: &'a str,
    pub(super) html: &'a str,
    /// By which the merchant stops the letters.
    pub(super) unsubscribe_url: Option<&'a Url>,
    /// The header `Date`.
    pub(super) at: DateTime<Utc>,
}

/// A message that is ready to be handed over.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
}

/// Puts the message together. The blind copy is in the envelope alone, as its name says.
pub(super) fn assemble(parts: &Parts<'_>, settings: &Settings) -> Result<Ready, lettre::error::Error> {
    let mut message = Message::builder()
        .from(settings.from.inner().clone())
        .reply_to(settings.reply_to.inner().clone())
        .to(lettre::message::Mailbox::new(None, parts.to.inner().clone()))
        .subject(parts.subject)
        .message_id(Some(format!("<{}>", parts.message_id)))
        .date(parts.at.into())
        .multipart(MultiPart::alternative_plain_html(parts.text.to_owned(), parts.html.to_owned()))?;
    // RFC 3834 section 5: keeps out-of-office answers away.
    raw_header(&mut message, "Auto-Submitted", "auto-generated".to_owned());
    // Two mail senders do not keep the Message-ID, or do not tell it: these are theirs, and taken out by them. To others they say no
    // more than the Message-ID does.
    raw_header(&mut message, "X-PM-Metadata-letter-id", parts.letter_id.to_owned());
    let unique_args = serde_json::json!({"unique_args": {"letter_id": parts.letter_id}});
    raw_header(&mut message, "X-SMTPAPI", unique_args.to_string());
    // RFC 2369 section 3.2; and RFC 8058: the mail program may post to the link by itself.
    let by_mail = format!("<mailto:{}?subject=unsubscribe>", settings.reply_to.address());
    match parts.unsubscribe_url {
        None => raw_header(&mut message, "List-Unsubscribe", by_mail),
        Some(url) => {
            raw_header(&mut message, "List-Unsubscribe", format!("<{url}>, {by_mail}"));
            raw_header(&mut message, "List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned());
        }
    }

    let recipients =
        std::iter::once(parts.to).chain(&settings.bcc).map(|address| address.inner().clone()).collect();
    let own = settings.return_path.as_ref().and_then(|path| path.of(parts.letter_id));
    let sender = own.unwrap_or_else(|| settings.from.inner().email.clone());
    let envelope = Envelope::new(Some(sender), recipients)?;
    Ok(Ready { envelope, bytes: message.formatted() })
}

fn raw_header(message: &mut Message, name: &'static str, value: String) {
    message.headers_mut().insert_raw(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
}
