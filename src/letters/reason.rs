//! The values of `letters.reason`.

/// It waits or is held although it may have been sent.
pub const UNCERTAIN: &str = "uncertain";
/// All attempts failed.
pub const GAVE_UP: &str = "gave_up";
pub const OPTED_OUT: &str = "opted_out";
/// An operator withdrew it.
pub const OPERATOR: &str = "operator";
/// The platform told the merchant by another channel.
pub const TOLD_ELSEWHERE: &str = "told_elsewhere";
/// The account's personal data was erased.
pub const ERASED: &str = "erased";
/// Stripe has no address that we may use.
pub const NO_RECIPIENT: &str = "no_recipient";
/// The address is malformed.
pub const BAD_ADDRESS: &str = "bad_address";
/// The address is on the suppression list.
pub const ADDRESS_BOUNCED: &str = "address_bounced";
pub const ADDRESS_REFUSED: &str = "address_refused";
pub const RELAY_REFUSED: &str = "relay_refused";
/// The account left the platform.
pub const NOT_CONNECTED: &str = "not_connected";
/// The offer has no terms or no end date.
pub const NO_TERMS: &str = "no_terms";
pub const BAD_TERMS: &str = "bad_terms";
/// Stripe names a product that the letters have no words for.
pub const UNKNOWN_PRODUCT: &str = "unknown_product";
/// No usable disclaimer exists for the offer.
pub const NO_DISCLAIMER: &str = "no_disclaimer";
/// Stripe has not approved this wording for the market.
pub const NOT_APPROVED: &str = "copy_not_approved";
/// A reminder would come too close to the offer's end.
pub const OFFER_ENDS: &str = "offer_ends";
/// The first letter bounced, so no reminder follows.
pub const CAME_BACK: &str = "came_back";

/// All of them.
pub const ALL: &[&str] = &[
    UNCERTAIN,
    GAVE_UP,
    OPTED_OUT,
    OPERATOR,
    TOLD_ELSEWHERE,
    ERASED,
    NO_RECIPIENT,
    BAD_ADDRESS,
    ADDRESS_BOUNCED,
    ADDRESS_REFUSED,
    RELAY_REFUSED,
    NOT_CONNECTED,
    NO_TERMS,
    BAD_TERMS,
    UNKNOWN_PRODUCT,
    NO_DISCLAIMER,
    NOT_APPROVED,
    OFFER_ENDS,
    CAME_BACK,
];

/// Whether a letter with this reason waits for a working address.
pub fn lacks_address(reason: &str) -> bool {
    [NO_RECIPIENT, BAD_ADDRESS, ADDRESS_BOUNCED].contains(&reason)
}

/// What resolves a hold for this reason, as an instruction to the operator.
pub fn remedy(reason: &str) -> &'static str {
    match reason {
        NO_RECIPIENT => {
            "add an email address to the account at Stripe, or set one with `contact set`: the \
             email is then sent"
        }
        BAD_ADDRESS => {
            "correct the account's email address at Stripe, or set another with `contact set`: the \
             email is then sent"
        }
        ADDRESS_BOUNCED | ADDRESS_REFUSED | CAME_BACK => {
            "set another address with `contact set`, or allow this one again with `address allow`"
        }
        NO_DISCLAIMER => {
            "add the wording that Stripe approved to email.disclaimers_dir, and restart"
        }
        NOT_APPROVED => "record Stripe's approval with `email approve`",
        NO_TERMS | BAD_TERMS => {
            "ask Stripe for the terms of the offer: they are missing or invalid"
        }
        UNKNOWN_PRODUCT => {
            "this version has no wording for the product: tell the merchant by another channel, or \
             upgrade, then `offer resend`"
        }
        GAVE_UP => "read the error (`job list`), remove its cause, then `offer resend`",
        UNCERTAIN => {
            "check in the relay's log whether it accepted the email; then `offer resend` or \
             `offer withdraw`"
        }
        RELAY_REFUSED => {
            "read the relay's reply (`offer show`), remove its cause, then `offer resend`"
        }
        NOT_CONNECTED => "the account left the platform: `offer withdraw`",
        _ => "see `offer show`",
    }
}

/// What a reason means, as the end of a sentence after "because".
pub fn explain(reason: &str) -> &str {
    match reason {
        UNCERTAIN => "it may have been sent before; the relay did not say",
        GAVE_UP => "all attempts failed",
        OPTED_OUT => "the account opted out",
        OPERATOR => "an operator withdrew it",
        TOLD_ELSEWHERE => "the platform told the merchant by another channel",
        ERASED => "the account's personal data was erased",
        NO_RECIPIENT => "Stripe has no address of the account that may be used",
        BAD_ADDRESS => "the account's address is malformed",
        ADDRESS_BOUNCED => "emails to the account's address came back",
        ADDRESS_REFUSED => "the relay refused the address",
        RELAY_REFUSED => "the relay refused the email",
        NOT_CONNECTED => "the account left the platform",
        NO_TERMS => "the offer has no terms or no end date",
        BAD_TERMS => "the offer's terms are invalid",
        UNKNOWN_PRODUCT => "this version has no wording for the product",
        NO_DISCLAIMER => "there is no usable disclaimer for the offer",
        NOT_APPROVED => "Stripe has not approved this wording for the market",
        OFFER_ENDS => "the offer ends too soon for a reminder",
        CAME_BACK => "the first email came back",
        other => other,
    }
}
