//! What a platform's own banner must carry beside an offer, in the words of the letters: the terms
//! and the sentence about the review. The operator's templates apply here too.

use super::words::Slots;
use super::{Contact, Facts, TemplateError, Writer};

/// The text beside a banner, without the disclaimer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BannerCopy {
    /// What a refill does to the running financing, where Stripe documents it. Belongs above the
    /// terms.
    pub refill: Option<String>,
    /// In the order of the letters.
    pub terms: Vec<TermsLine>,
    pub how_it_is_paid: String,
    /// Begins with "All financing applications are subject to review prior to approval."
    pub review: String,
    /// One or two: whom the merchant can ask, and where to complain.
    pub contacts: Vec<ContactLine>,
}

/// A term of the offer, formatted for its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermsLine {
    pub label: String,
    pub value: String,
}

/// A sentence that ends with a contact, without its full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactLine {
    pub words: String,
    pub contact: Contact,
}

impl Writer {
    /// The copy for a banner. Account name, recipient, disclaimer and unsubscribe link of `facts`
    /// are not used.
    pub fn banner(&self, facts: &Facts) -> Result<BannerCopy, TemplateError> {
        let slots = Slots::new(facts, &self.settings);
        let words = self.words(facts, &slots)?;
        let block = |name: &str| words.get(name).cloned().unwrap_or_default();
        let values = [
            (block("advance_label"), Some(block("advance_value"))),
            (format!("{} ({})", block("fee_label"), block("fee_note")), Some(slots.fee.clone())),
            (block("total_label"), slots.total.clone()),
            (block("share_label"), Some(block("share_value"))),
            (block("discount_label"), slots.fee_discount.as_ref().map(|_| block("discount_value"))),
            (block("until_label"), Some(slots.expires_on.clone())),
        ];
        let refill = Some(block("note")).filter(|note| facts.is_refill && !note.is_empty());
        let terms = values
            .into_iter()
            .filter_map(|(label, value)| Some(TermsLine { label, value: value? }))
            .collect();
        let line = |name, contact| ContactLine { words: block(name), contact };
        let complaints = slots.complaints.map(|contact| line("complaints", contact));
        let contacts =
            std::iter::once(line("questions", slots.support)).chain(complaints).collect();
        let (how_it_is_paid, review) = (block("how_it_is_paid"), block("review"));
        Ok(BannerCopy { refill, terms, how_it_is_paid, review, contacts })
    }
}
