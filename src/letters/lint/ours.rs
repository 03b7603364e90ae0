//! The rules that are the same in all languages, and not about words.

use super::{Finding, Part, Severity};

/// A rule that is written in code.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ours {
    pub(super) code: &'static str,
    severity: Severity,
    instead: &'static str,
    source: &'static str,
}

impl Ours {
    /// What was found against this rule.
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
const WCAG: &str = "https://www.w3.org/TR/WCAG22/#contrast-minimum";
const DOCS: &str = "docs/copy-rules.md";

const fn error(code: &'static str, instead: &'static str, source: &'static str) -> Ours {
    Ours { code, severity: Severity::Error, instead, source }
}

const fn warning(code: &'static str, instead: &'static str, source: &'static str) -> Ours {
    Ours { code, severity: Severity::Warning, instead, source }
}

macro_rules! ours {
    ($($name:ident = $kind:ident($code:literal, $instead:literal, $source:ident);)*) => {
        $(pub(super) const $name: Ours = $kind($code, $instead, $source);)*
        /// The codes that no rule of a file may have.
        pub(super) const CODES: &[&str] = &[$($code),*];
    };
}

ours! {
    NO_RULES = error("no-rules", "write templates/emails/rules/<locale>.toml: without it nobody checked these words", DOCS);
    TOO_LARGE = error("html-size", "shorten it: Gmail cuts off what is after 102 KB, which is where the disclaimer is", DOCS);
    LARGE = warning("html-size-near", "shorten it: past 102 KB Gmail cuts a letter off", DOCS);
    NOT_READ = error("too-large-to-check", "shorten it: a letter of more than 512 KB is not looked at any further", DOCS);

    DISCLAIMER = error("disclaimer-missing", "let the disclaimer stand there word for word, as Stripe approved it", MARKETING);
    ADDRESS = error("postal-address-missing", "name the postal address of who sends the letter", CAN_SPAM);
    UNSUBSCRIBE = error("unsubscribe-missing", "link to the page that stops the letters, with words to click on", CAN_SPAM);
    OPT_OUT = error("opt-out-missing", "say how to stop the letters by answering, and name the address for answers", CAN_SPAM);
    HIDDEN = error("small-print-hidden", "show it: it must be clear and conspicuous", MARKETING);
    SMALL = error("small-print-size", "set it in 12px or more: it must be legible", MARKETING);
    FAINT = error("small-print-contrast", "give it a contrast of 4.5:1 or more with what is behind it", WCAG);
    ON_PICTURE = warning("small-print-on-picture", "put it on a plain colour: over a picture nobody can vouch for its contrast", WCAG);

    ACCOUNT_LINK = error("account-link", "link to a page of your own that makes a fresh Account Link: this one expires in minutes", ACCOUNT_LINKS);
    EXPIRES = error("link-expires", "link to a stable page: this looks like a signed, expiring or one-use link", ACCOUNT_LINKS);
    NOT_HTTPS = error("link-not-https", "link by https://", DOCS);
    SCHEME = error("link-scheme", "link by https:// or mailto: only", DOCS);
    NOWHERE = error("link-nowhere", "write the whole address: mail has no page that it could be relative to", DOCS);
    SHORTENER = error("link-shortener", "write the real address: short links look like fraud, and filters take them for it", DOCS);
    DISGUISED = error("link-disguised", "let the words of a link be its own address, or none", DOCS);
    ACTIVE = error("active-content", "leave it out: mail programs remove scripts, forms and frames, or refuse the letter", DOCS);

    NO_ALT = error("image-without-alt", "say in `alt` what it shows; `alt=\"\"` where it is decoration", DOCS);
    ALL_IMAGE = error("image-only", "write the letter as text: many readers see no images", DOCS);

    ONLY_THERE = error("parts-differ", "say the same in the text and in the HTML: amounts, percentages, dates and links", DOCS);
    ONLY_SAID_THERE = warning("parts-say-different-things", "say the same in the text and in the HTML", DOCS);

    SUBJECT_EMPTY = error("subject-empty", "say what the letter is about", CAN_SPAM);
    SUBJECT_LONG = warning("subject-long", "say it in 70 characters or fewer: the rest is cut off", DOCS);
    SUBJECT_CAPITALS = warning("subject-capitals", "write it in small letters", DOCS);
    SUBJECT_EXCLAMATION = warning("subject-exclamation", "write it without exclamation marks", DOCS);
    SUBJECT_EMOJI = warning("subject-emoji", "write it without pictures", DOCS);
    SUBJECT_REPLY = error("subject-reply", "leave `Re:` or `Fwd:` out: the letter answers nothing, and a subject must not deceive", CAN_SPAM);
    SUBJECT_LINES = error("subject-lines", "write it in one line", DOCS);

    LEFTOVER = error("template-leftover", "fill it in or take it out", DOCS);
    HIDDEN_LETTERS = error("hidden-characters", "take out what is invisible inside of words", DOCS);
    MIXED = error("mixed-alphabets", "write the word in one alphabet", DOCS);
}
