//! The delivery status notification (RFC 3464) about a message that was accepted and could not be
//! delivered, as a mail server on the way writes it.

use super::session::MailEnvelope;
use crate::mail::parts::header_fields;

/// The notification that `recipient` does not exist. `id` identifies the message.
pub(super) fn notification(
    id: &str,
    envelope: &MailEnvelope,
    recipient: &str,
    message: &[u8],
) -> Vec<u8> {
    let original = String::from_utf8_lossy(message);
    let headers = original.split("\r\n\r\n").next().unwrap_or_default();
    let fields = header_fields(message);
    let date = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("date"));
    let date = date.map_or("Thu, 1 Jan 1970 00:00:00 +0000", |(_, value)| value);
    let boundary = format!("=_{id}");
    format!(
        "Return-Path: <>\r\n\
         From: Mail Delivery System <MAILER-DAEMON@demo.local>\r\n\
         To: <{sender}>\r\n\
         Date: {date}\r\n\
         Subject: Undelivered Mail Returned to Sender\r\n\
         Message-ID: <bounce-{id}@demo.local>\r\n\
         Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"{boundary}\"\r\n\r\n\
         --{boundary}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n\
         The address {recipient} does not exist.\r\n\
         --{boundary}\r\n\
         Content-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; demo.local\r\n\r\n\
         Final-Recipient: rfc822; {recipient}\r\n\
         Action: failed\r\n\
         Status: 5.1.1\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 no such address here\r\n\
         --{boundary}\r\n\
         Content-Type: text/rfc822-headers\r\n\r\n\
         {headers}\r\n\
         --{boundary}--\r\n",
        sender = envelope.from,
    )
    .into_bytes()
}
