//! What the fuzz targets run (`scripts/fuzz-parsers`): for each kind of external input, its parser
//! and what is derived without database and network. A violated invariant panics.

use bytes::Bytes;
use capital_courier::consent::opt_outs::UnsubscribeLinks;
use capital_courier::feedback::{FeedbackReport, MAX_BYTES};
use capital_courier::flow::inbox::Arrival;
use capital_courier::format::locale::{self, Formats, Language};
use capital_courier::format::money::Money;
use capital_courier::format::text;
use capital_courier::mail::{Address, Mailbox, RelayUrl, ReturnPath, smtp};
use capital_courier::stripe::{
    Account, AccountId, BalanceTransaction, Charge, FinancingOffer, FinancingSummary,
    FinancingTransaction, Payout,
};
use capital_courier::web::portal::Keys;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::Value;

/// A bounce or complaint message.
pub fn report(message: &[u8]) {
    if let Ok(report) = FeedbackReport::parse(message) {
        assert!(
            message.len() <= MAX_BYTES
                && !report.letter_ref.is_empty()
                && !report.recipients.is_empty()
        );
    }
}

/// Replies of a relay.
pub fn smtp_replies(bytes: &[u8]) {
    if let Ok(replies) = smtp::parse_replies(bytes) {
        // Replies appear in the log and on terminals.
        let _ =
            replies.iter().map(|reply| text::printable(&reply.to_string()).len()).sum::<usize>();
    }
    let _ = smtp::encode(bytes);
}

/// The body of an event, and Stripe's objects.
pub fn event(body: &[u8]) {
    let received_at = DateTime::UNIX_EPOCH;
    if let Ok(arrival) = Arrival::parse(Bytes::copy_from_slice(body), received_at) {
        let columns = [
            Some(arrival.event_id),
            Some(arrival.event_type),
            arrival.object_id,
            arrival.account_id,
        ];
        assert!(columns.iter().flatten().all(|text| !text.contains('\0')), "Postgres takes no NUL");
    }
    let Ok(event) = serde_json::from_slice::<Value>(body) else { return };
    let object = event.pointer("/data/object").unwrap_or(&event);
    if let Ok(offer) = serde_json::from_value::<FinancingOffer>(object.clone()) {
        derive_from_offer(&offer);
    }
    if let Ok(account) = serde_json::from_value::<Account>(object.clone()) {
        derive_from_account(&account);
    }
    let _ = serde_json::from_value::<FinancingTransaction>(object.clone());
    let _ = serde_json::from_value::<FinancingSummary>(object.clone());
    let _ = serde_json::from_value::<Charge>(object.clone());
    let _ = serde_json::from_value::<Payout>(object.clone());
    if let Ok(movement) = serde_json::from_value::<BalanceTransaction>(object.clone()) {
        let _ = movement.category();
    }
}

fn derive_from_offer(offer: &FinancingOffer) {
    let _ = (offer.created(), offer.kind_of_financing(), offer.status.is_end());
    let Some(terms) = &offer.offered_terms else { return };
    let money = |minor| Money { minor, currency: terms.currency.clone() };
    let (advance, fee) = (money(terms.advance_amount), money(terms.fee_amount));
    for language in Language::ALL {
        let formats = Formats::new(language, None);
        for amount in
            [Some(&advance), Some(&fee), advance.plus(&fee).as_ref()].into_iter().flatten()
        {
            let _ = (formats.money(amount), formats.money_short(amount), amount.plain());
        }
        let _ = formats.percent(terms.withhold_rate);
        if let Some(at) = offer.expires_at {
            let _ = formats.day(at, locale::time_zone(None, None));
        }
    }
}

fn derive_from_account(account: &Account) {
    let country = account.country.as_deref();
    let zone = locale::time_zone(account.time_zone(), country);
    for language in Language::preferred(country, country) {
        let formats = Formats::new(language, country);
        let _ = formats.day(DateTime::UNIX_EPOCH, zone);
        let _ = formats.money(&Money { minor: i64::MIN, currency: "usd".to_owned() });
    }
    if let Some(name) = account.display_name() {
        let plain = text::plain(name);
        assert!(!plain.contains(text::is_unprintable), "{plain:?}");
        assert_eq!(text::without_links(&text::without_links(&plain)), text::without_links(&plain));
    }
}

/// Dashboard tokens and unsubscribe tokens. `signed` is signed with [`TOKEN_SECRET`]; `raw` is not.
pub fn token(raw: &str, signed: &str, now: DateTime<Utc>) {
    let keys = Keys::shared(&SecretString::from(TOKEN_SECRET), TOKEN_AUDIENCE);
    assert!(!keys.accepts(raw, now), "a token is accepted without a signature");
    let _ = keys.accepts(signed, now);
    let public_url = "https://courier.example/".parse().expect("a constant address");
    let links = UnsubscribeLinks::new(&SecretString::from(TOKEN_SECRET), public_url);
    if let Some(account) = links.verify(raw) {
        assert_eq!(
            links.link(&account).path().rsplit('/').next(),
            Some(raw),
            "an unsigned link was accepted"
        );
    }
    if let Ok(account) = raw.parse::<AccountId>() {
        let link = links.link(&account);
        let token = link.path().rsplit('/').next().unwrap_or_default();
        assert_eq!(links.verify(token), Some(account));
    }
}

/// The key with which [`token`] verifies.
pub const TOKEN_SECRET: &str = "a secret that only the fuzzer knows, and long enough";
/// The audience that [`token`] requires.
pub const TOKEN_AUDIENCE: &str = "capital-courier";

/// Addresses of recipients, senders and relays.
pub fn address(given: &str) {
    if let Ok(address) = given.parse::<Address>() {
        let exposed = address.expose();
        assert!(exposed.len() <= 254 && exposed.bytes().all(|byte| byte.is_ascii_graphic()));
        let masked = address.to_string();
        assert!(masked.contains("***@"), "{masked}");
    }
    if let Ok(mailbox) = given.parse::<Mailbox>() {
        assert!(mailbox.address().parse::<Address>().is_ok());
        assert!(!mailbox.name().unwrap_or_default().contains(char::is_control));
    }
    let _ = given.parse::<ReturnPath>();
    if let Ok(url) = given.parse::<RelayUrl>() {
        let _ = url.to_string();
    }
    let printed = text::printable(given);
    assert!(!printed.contains(text::is_unprintable));
    assert_eq!(text::plain(&text::plain(given)), text::plain(given));
}
