//! The variables of templates: the facts of a letter, formatted for its reader, and the rendered
//! blocks.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use minijinja::value::{Serde, Value};
use serde::Serialize;
use textwrap::{WordSeparator, WordSplitter};
use url::Url;

use super::Settings;
use super::sales_day::SalesDay;
use super::{Contact, Contacts, Facts};
use crate::brand::Brand;
use crate::format::locale::Formats;
use crate::format::text;
use crate::stripe::{Contract, ProductTerms, Refill};

/// The blocks that a file of words defines.
pub(super) const BLOCKS: [&str; 38] = [
    "subject",
    "preview",
    "test_tag",
    "test_mode",
    "tag",
    "greeting",
    "lead",
    "after_amount",
    "note",
    "button",
    "see_and_apply",
    "terms_title",
    "advance_label",
    "advance_value",
    "fee_label",
    "fee_note",
    "total_label",
    "share_label",
    "share_value",
    "discount_label",
    "discount_value",
    "until_label",
    "steps_title",
    "step_1",
    "step_2",
    "step_3",
    "how_title",
    "how_it_is_paid",
    "example",
    "example_day",
    "review",
    "questions",
    "complaints",
    "advertisement",
    "contact",
    "unsubscribe",
    "or_by_reply",
    "by_reply",
];

/// The variables of every template.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "names that templates use")]
pub(super) struct Slots<'a> {
    kind: &'static str,
    is_reminder: bool,
    /// The account has a running financing.
    is_refill: bool,
    language: &'static str,
    program_name: &'a str,
    dashboard_url: &'a str,
    postal_address: &'a str,
    from_name: &'a str,
    reply_to: &'a str,
    account_name: Option<String>,
    first_name: Option<String>,
    recipient: &'a str,
    advance: String,
    /// Without zero decimals.
    advance_short: String,
    pub(super) fee: String,
    pub(super) total: Option<String>,
    withheld: String,
    /// `None` for currencies that Capital does not have.
    day: Option<DayWords>,
    pub(super) expires_on: String,
    /// `loan`, `cash_advance` or `unspecified`.
    financing: &'static str,
    /// Sales are withheld only until the minimum of the period is met.
    is_fixed_term: bool,
    /// Whether a minimum payment is due per period.
    has_minimum: bool,
    /// Whether it is known that none is due; false if nothing is known.
    has_no_minimum: bool,
    /// The length of that period.
    minimum_days: Option<i64>,
    /// Whether a bank account is debited for what the minimum lacks.
    has_bank_debit: bool,
    /// Of a refill: the discount on what remains of the running financing's fee.
    pub(super) fee_discount: Option<String>,
    /// `settles`: the new financing pays off the old one; `stacks`: both continue; empty if
    /// unknown.
    refill_way: &'static str,
    disclaimer: &'a [String],
    pub(super) support: Contact,
    /// `None` if `support` takes complaints too.
    pub(super) complaints: Option<Contact>,
    unsubscribe_url: Option<&'a str>,
    livemode: bool,
    brand: &'a Brand,
}

/// An example: the sales of a day, and the share of them that is withheld.
#[derive(Serialize)]
struct DayWords {
    sales: String,
    share: String,
    /// The share in whole per cent, from 1 to 100: for a bar.
    percent: u8,
}

const SLOTS: [&str; 53] = [
    "kind",
    "is_reminder",
    "is_refill",
    "language",
    "program_name",
    "dashboard_url",
    "postal_address",
    "from_name",
    "reply_to",
    "account_name",
    "first_name",
    "recipient",
    "advance",
    "advance_short",
    "fee",
    "total",
    "withheld",
    "day",
    "day.sales",
    "day.share",
    "day.percent",
    "expires_on",
    "financing",
    "is_fixed_term",
    "has_minimum",
    "has_no_minimum",
    "minimum_days",
    "has_bank_debit",
    "fee_discount",
    "refill_way",
    "disclaimer",
    "support",
    "support.address",
    "support.url",
    "support.is_page",
    "complaints",
    "complaints.address",
    "complaints.url",
    "complaints.is_page",
    "unsubscribe_url",
    "livemode",
    "brand",
    "brand.logo_url",
    "brand.logo_dark_url",
    "brand.accent",
    "brand.accent.paint",
    "brand.accent.ink",
    "brand.accent.text",
    "brand.accent.dark",
    "brand.accent.dark.paint",
    "brand.accent.dark.ink",
    "brand.accent.dark.text",
    "words",
];

/// Longer names are cut; a subject line shows about 60 characters.
const MAX_NAME: usize = 80;

impl<'a> Slots<'a> {
    pub(super) fn new(facts: &'a Facts, settings: &'a Settings) -> Self {
        let formats = Formats::new(facts.language, facts.country.as_deref());
        let total = facts.advance.plus(&facts.fee);
        let financing_type = facts.financing_type.financing_type();
        let terms = ProductTerms::new(
            facts.country.as_deref(),
            financing_type.as_ref(),
            facts.repayment_interval.as_ref(),
        );
        let Contacts { support, complaints } = settings.contacts.in_market(facts.market.as_deref());
        let discount = facts.fee_discount.filter(|_| facts.is_refill);
        Self {
            kind: facts.kind.as_str(),
            is_reminder: facts.kind.is_reminder(),
            is_refill: facts.is_refill,
            language: facts.language.code(),
            program_name: &settings.brand.program_name,
            dashboard_url: settings.brand.dashboard_url.as_str(),
            postal_address: &settings.postal_address,
            from_name: &settings.from_name,
            reply_to: &settings.reply_to,
            account_name: facts.account_name.as_deref().and_then(display_name),
            first_name: facts.first_name.as_deref().and_then(display_name),
            recipient: &facts.recipient,
            advance: formats.money(&facts.advance),
            advance_short: formats.money_short(&facts.advance),
            fee: formats.money(&facts.fee),
            total: total.map(|total| formats.money(&total)),
            withheld: formats.percent(facts.withhold_rate),
            day: DayWords::new(&formats, &facts.advance.currency, facts.withhold_rate),
            // The last moment at which the offer is open.
            expires_on: formats.day(facts.expires_at - TimeDelta::seconds(1), facts.time_zone),
            financing: facts.financing_type.vocabulary().as_str(),
            is_fixed_term: facts.financing_type == Contract::FixedTermLoan,
            has_minimum: terms.minimum_days.is_some(),
            has_no_minimum: terms.has_no_minimum,
            minimum_days: terms.minimum_days,
            has_bank_debit: terms.has_bank_debit,
            fee_discount: discount.map(|rate| formats.percent(rate)),
            refill_way: terms.refill.map(Refill::as_str).unwrap_or_default(),
            disclaimer: &facts.disclaimer,
            support,
            complaints,
            unsubscribe_url: facts.unsubscribe_url.as_ref().map(Url::as_str),
            livemode: facts.livemode,
            brand: &settings.brand,
        }
    }

    /// For the files of words.
    pub(super) fn values(&self) -> Value {
        Value::from(Serde(self))
    }

    /// For the part templates: with the rendered blocks.
    pub(super) fn with(&self, words: &BTreeMap<&'static str, String>) -> Value {
        minijinja::context! { words => words, ..self.values() }
    }
}

impl DayWords {
    /// `None` where amounts have no hundredths.
    fn new(formats: &Formats, currency: &str, rate: f64) -> Option<Self> {
        let SalesDay { sales, share } =
            SalesDay::new(currency, rate).filter(|day| day.sales.decimals() == 2)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 1 to 100"
        )]
        let percent = (rate * 100.0).round().clamp(1.0, 100.0) as u8;
        let (sales, share) = (formats.money_short(&sales), formats.money_short(&share));
        Some(Self { sales, share, percent })
    }
}

/// Every name that a template can use; blocks as `words.lead`.
pub(super) fn names(is_words: bool) -> BTreeSet<String> {
    let slots =
        SLOTS.iter().filter(|name| !is_words || **name != "words").map(|name| (*name).to_owned());
    let words = BLOCKS.iter().filter(|_| !is_words).map(|block| format!("words.{block}"));
    slots.chain(words).collect()
}

/// A name as plain text without links; `None` if nothing is left. The account's owner chooses both
/// its name and its address, and could otherwise send a link of their own to anybody in the
/// platform's name.
fn display_name(given: &str) -> Option<String> {
    let name: String = text::plain(given).chars().take(MAX_NAME).collect();
    Some(text::without_links(&name)).filter(|name| !name.is_empty())
}

/// Folds white space, but keeps no-break spaces.
pub(super) fn one_line(text: &str) -> String {
    text.split([' ', '\t', '\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'])
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Wraps at 72 characters. Lines after the first are indented by `indent` spaces.
pub(super) fn wrapped(paragraph: &str, indent: usize) -> String {
    const WIDTH: usize = 72;
    let width = WIDTH.saturating_sub(indent);
    // Keeps links, hyphenated names and no-break spaces intact.
    let options = textwrap::Options::new(width)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    let paragraph = one_line(paragraph);
    let lines = textwrap::wrap(&paragraph, options);
    lines.join(&format!("\n{}", " ".repeat(indent.min(WIDTH))))
}

/// Pads a label of a plain-text table.
pub(super) fn padded(label: &str) -> String {
    const WIDTH: usize = 43;
    format!("{label:<WIDTH$}")
}
