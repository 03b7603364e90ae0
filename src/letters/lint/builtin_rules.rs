//! The rules that are the same in all languages, and are not about words.

use super::{Finding, Part, Severity};

#[derive(Clone, Copy, Debug)]
pub(super) struct BuiltinRule {
    pub(super) code: &'static str,
    severity: Severity,
    instead: &'static str,
    source: &'static str,
}

impl BuiltinRule {
    pub(super) fn found(&self, part: Part, found: impl Into<String>) -> Finding {
        Finding {
            rule: self.code.to_owned(),
            severity: self.severity,
            part,
            found: found.into(),
            instead: self.instead.to_owned(),
            source: self.source.to_owned(),
        }
    }
}

const MARKETING: &str = "https://docs.stripe.com/capital/marketing";
const CAN_SPAM: &str =
    "https://www.ftc.gov/business-guidance/resources/can-spam-act-compliance-guide-business";
const ACCOUNT_LINKS: &str = "https://docs.stripe.com/api/account_links";
const DOCS: &str = "docs/copy-rules.md";

macro_rules! builtin_rules {
    ($($name:ident = $severity:ident($code:literal, $instead:literal, $source:ident);)*) => {
        $(pub(super) const $name: BuiltinRule = BuiltinRule {
            code: $code,
            severity: Severity::$severity,
            instead: $instead,
            source: $source,
        };)*
        /// The codes that no rule of a file may have.
        pub(super) const CODES: &[&str] = &[$($code),*];
    };
}

builtin_rules! {
    NO_RULES = Error("no-rules", "write templates/emails/rules/<locale>.toml: without it nothing checks this text", DOCS);
    TOO_LARGE = Error("html-size", "shorten it: Gmail cuts a letter off after 102 KB, and the disclaimer comes last", DOCS);
    LARGE = Warning("html-size-near", "shorten it: Gmail cuts a letter off after 102 KB", DOCS);
    NOT_READ = Error("too-large-to-check", "shorten it: a letter of more than 256 KB is not checked", DOCS);

    DISCLAIMER = Error("disclaimer-missing", "include the disclaimer word for word, as Stripe approved it", MARKETING);
    ADDRESS = Error("postal-address-missing", "name the sender's postal address", CAN_SPAM);
    UNSUBSCRIBE = Error("unsubscribe-missing", "link to the page that stops the letters, with words to click on", CAN_SPAM);
    OPT_OUT = Error("opt-out-missing", "say how to stop the letters by replying, and name the address for replies", CAN_SPAM);
    HIDDEN = Error("small-print-hidden", "show it: it must be clear and conspicuous", MARKETING);

    ACCOUNT_LINK = Error("account-link", "link to a page of your own that creates a fresh Account Link: this one expires in minutes", ACCOUNT_LINKS);
    EXPIRES = Error("link-expires", "link to a stable page: this looks like a signed, expiring or one-use link", ACCOUNT_LINKS);
    NOT_HTTPS = Error("link-not-https", "link by https://", DOCS);
    SCHEME = Error("link-scheme", "link by https:// or mailto: only", DOCS);
    NOWHERE = Error("link-nowhere", "write the whole address: an email has no page to which it could be relative", DOCS);
    SHORTENER = Error("link-shortener", "write the real address: short links look like fraud, and filters treat them as such", DOCS);
    DISGUISED = Error("link-disguised", "let the text of a link be its own address, or no address", DOCS);
    ACTIVE = Error("active-content", "leave it out: mail programs remove scripts, forms and frames, or refuse the letter", DOCS);

    NO_ALT = Error("image-without-alt", "say in `alt` what it shows; `alt=\"\"` where it is decoration", DOCS);
    ALL_IMAGE = Error("image-only", "write the letter as text: many readers see no images", DOCS);

    PARTS_DIFFER = Error("parts-differ", "give the same amounts, percentages, dates and links in the text and in the HTML", DOCS);

    SUBJECT_EMPTY = Error("subject-empty", "say what the letter is about", CAN_SPAM);
    SUBJECT_LONG = Warning("subject-long", "say it in 70 characters or fewer: the rest is cut off", DOCS);
    SUBJECT_CAPITALS = Warning("subject-capitals", "write it in lower case", DOCS);
    SUBJECT_EXCLAMATION = Warning("subject-exclamation", "write it without exclamation marks", DOCS);
    SUBJECT_EMOJI = Warning("subject-emoji", "write it without emoji", DOCS);
    SUBJECT_REPLY = Error("subject-reply", "leave `Re:` or `Fwd:` out: the letter is not a reply, and a subject must not deceive", CAN_SPAM);
    SUBJECT_LINES = Error("subject-lines", "write it on one line", DOCS);

    LEFTOVER = Error("template-leftover", "fill it in or take it out", DOCS);
    HIDDEN_LETTERS = Error("hidden-characters", "take invisible characters out of words", DOCS);
    MIXED = Error("mixed-alphabets", "write the word in one alphabet", DOCS);
}
