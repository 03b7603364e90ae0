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
