//! The values of `letters.reason`: why a letter is where it is.

/// It waits although it may have been sent, or is held because of that.
pub const UNCERTAIN: &str = "uncertain";
/// Its last attempt failed.
pub const GAVE_UP: &str = "gave_up";
/// The account opted out.
pub const OPTED_OUT: &str = "opted_out";
/// A person withdrew it.
pub const OPERATOR: &str = "operator";
/// The account's personal data were erased.
pub const ERASED: &str = "erased";
/// Stripe knows no address that we may use.
pub const NO_RECIPIENT: &str = "no_recipient";
/// What Stripe has as the address is none.
pub const BAD_ADDRESS: &str = "bad_address";
/// Its address is on the suppression list.
pub const ADDRESS_BOUNCED: &str = "address_bounced";
/// The relay refused the address.
pub const ADDRESS_REFUSED: &str = "address_refused";
/// The relay refused the message.
pub const RELAY_REFUSED: &str = "relay_refused";
/// The offer has no terms or no end.
pub const NO_TERMS: &str = "no_terms";
/// The offer's terms are implausible.
pub const BAD_TERMS: &str = "bad_terms";
/// No disclaimer that may be used is known for the offer.
pub const NO_DISCLAIMER: &str = "no_disclaimer";
/// Stripe has not approved this wording for this market.
pub const NOT_APPROVED: &str = "copy_not_approved";
/// A reminder would come too close to the offer's end.
pub const OFFER_ENDS: &str = "offer_ends";
/// The first letter came back, so no reminder follows it.
pub const CAME_BACK: &str = "came_back";

/// Whether a letter held for this reason lacks a working address.
pub fn lacks_address(reason: &str) -> bool {
    [NO_RECIPIENT, BAD_ADDRESS, ADDRESS_BOUNCED].contains(&reason)
}
