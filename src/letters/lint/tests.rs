//! The lint over letters in which one thing is wrong, over harmless ones like them, and over our
//! own letters.
//!
//! `tests/data/copy` has a clean letter in each language, sentences that are put into it, and
//! changes that are made to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::brand::Brand;
use crate::letters::Kind;
use crate::letters::wording::{self, ContactSettings, Facts, Writer};
use crate::letters::wording::{kinds_and_languages, refill_cases, sample};
use crate::stripe::RepaymentInterval;

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::built_in().unwrap());

const ALL: [Contract; 4] = Contract::ALL;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentences {
    bad: Vec<Bad>,
    good: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bad {
    say: String,
    rules: BTreeSet<String>,
    about: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    bad: Vec<Change>,
    good: Vec<Change>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    part: String,
    #[serde(default)]
    find: String,
    put: String,
    #[serde(default)]
    rules: BTreeSet<String>,
    about: Option<String>,
}

/// A letter that nothing is wrong with.
#[derive(Clone)]
struct Clean {
    locale: &'static str,
    subject: String,
    text: String,
    html: String,
    disclaimer: Vec<String>,
    address: &'static str,
    name: &'static str,
    unsubscribe_url: Option<Url>,
}

impl Rules {
    fn locales(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The codes of a locale's rules, in the order of its file.
    fn codes(&self, locale: &str) -> impl Iterator<Item = &str> {
        let rules = self.get(locale).into_iter();
        let all = rules.flat_map(|locale| locale.forbidden.iter().chain(&locale.required));
        all.map(|rule| rule.code.as_str())
    }
}

fn file(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/data/copy/{name}", env!("CARGO_MANIFEST_DIR")))
        .unwrap()
}

impl Clean {
    fn letter(locale: &'static str) -> Self {
        let (subject, name, address, disclaimer) = match locale {
            "en" => (
                "You're prequalified for up to $1,000.00 in financing",
                "Loan Star Bakery",
                "Rocket Rides Inc., 1 Loan Street, Springfield, IL 62701",
                "Rocket Capital loans are issued by Some Bank. A minimum amount is due in each period, and interest is \
                 what others call it.",
            ),
            "de" => (
                "Vorab qualifiziert: bis zu 1.000,00 € für Ihr Unternehmen",
                "Bäckerei Kreditanstalt",
                "Rocket Rides GmbH, Kreditstraße 1, 10115 Berlin",
                "Rocket Rides vermittelt Darlehen der Beispielbank. Erlaubnis zur Darlehensvermittlung nach § 34c GewO; \
                 Zinsen und Laufzeit stehen im Vertrag. Aufsicht: <https://www.ihk.example/de/>",
            ),
            _ => (
                "Préqualifié pour un financement jusqu'à 1 000,00 €",
                "Prêt et Fils",
                "Rocket Rides SAS, 1 rue du Crédit, 75010 Paris",
                "Rocket Rides est intermédiaire en opérations de banque pour les prêts de Banque Exemple. Un crédit vous \
                 engage et doit être remboursé.",
            ),
        };
        Self {
            locale,
            subject: subject.to_owned(),
            text: file(&format!("{locale}.txt")),
            html: file(&format!("{locale}.html")),
            disclaimer: vec![disclaimer.to_owned()],
            address,
            name,
            unsubscribe_url: Url::parse("https://courier.example/unsubscribe/abc?token=secret")
                .ok(),
        }
    }

    fn saying(&self, sentence: &str) -> Self {
        let mut changed = self.clone();
        let (plain, html) = (format!("{sentence}\n"), html_of(sentence));
        changed.text = self.text.replace("@here@\n", &plain);
        changed.html = self.html.replace("@here@", &html);
        changed
    }

    fn changed(&self, change: &Change) -> Self {
        let mut changed = self.clone();
        let replace = |text: &mut String| {
            assert!(text.contains(&change.find), "{change:?} changes nothing");
            *text = text.replacen(&change.find, &change.put, 1);
        };
        match change.part.as_str() {
            "subject" => changed.subject.clone_from(&change.put),
            "text" => replace(&mut changed.text),
            "html" => replace(&mut changed.html),
            "both" => {
                replace(&mut changed.text);
                replace(&mut changed.html);
            }
            other => panic!("there is no part {other}"),
        }
        changed.saying("")
    }

    fn findings(&self, financing: Contract) -> Vec<Finding> {
        let input = Input {
            locale: self.locale,
            financing,
            subject: &self.subject,
            text: &self.text,
            html: &self.html,
            disclaimer: &self.disclaimer,
            postal_address: self.address,
            unsubscribe_url: self.unsubscribe_url.as_ref(),
            reply_to: "capital@rocket.example",
            program_name: "Rocket Capital",
            platform_name: "Rocket Rides",
            account_name: Some(self.name),
            first_name: None,
            recipient: "jenny.rosen@example.com",
        };
        check(&RULES, &input)
    }
}

fn html_of(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn kinds(about: Option<&str>) -> Vec<Contract> {
    match about {
        None => ALL.to_vec(),
        Some("loan") => vec![Contract::Loan, Contract::FixedTermLoan],
        Some("cash_advance") => vec![Contract::CashAdvance],
        Some(_) => vec![Contract::Unspecified],
    }
}

fn codes(findings: &[Finding]) -> BTreeSet<String> {
    findings.iter().map(|finding| finding.rule.clone()).collect()
}

fn shown(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(|finding| format!("\n  {finding}")).collect();
    lines.concat()
}

fn sentences() -> BTreeMap<String, Sentences> {
    toml::from_str(&file("says.toml")).unwrap()
}

fn changes() -> Changes {
    toml::from_str(&file("changes.toml")).unwrap()
}

const LOCALES: [&str; 3] = ["en", "de", "fr"];

#[test]
fn nothing_is_wrong_with_a_clean_letter() {
    for locale in LOCALES {
        for financing in ALL {
            let findings = Clean::letter(locale).saying("").findings(financing);
            assert!(findings.is_empty(), "{locale}, {financing:?}:{}", shown(&findings));
        }
    }
}

#[test]
fn a_bad_sentence_breaks_the_rules_that_it_should_and_no_others() {
    let mut wrong = Vec::new();
    for locale in LOCALES {
        let clean = Clean::letter(locale);
        for bad in &sentences()[locale].bad {
            for financing in kinds(bad.about.as_deref()) {
                let findings = clean.saying(&bad.say).findings(financing);
                if codes(&findings) != bad.rules {
                    let found = shown(&findings);
                    wrong.push(format!(
                        "\n{locale}, {financing:?}, {:?}: {:?}{found}",
                        bad.say, bad.rules
                    ));
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn a_good_sentence_breaks_no_rule() {
    let mut wrong = Vec::new();
    for locale in LOCALES {
        let clean = Clean::letter(locale);
        for good in &sentences()[locale].good {
            for financing in ALL {
                let findings = clean.saying(good).findings(financing);
                if !findings.is_empty() {
                    wrong.push(format!("\n{locale}, {financing:?}, {good:?}:{}", shown(&findings)));
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn a_letter_with_one_thing_changed_breaks_the_rules_that_it_should_and_no_others() {
    let (clean, changes) = (Clean::letter("en"), changes());
    let mut wrong = Vec::new();
    for change in changes.bad.iter().chain(&changes.good) {
        for financing in kinds(change.about.as_deref()) {
            let findings = clean.changed(change).findings(financing);
            if codes(&findings) != change.rules {
                wrong.push(format!("\n{financing:?}, {change:?}:{}", shown(&findings)));
                break;
            }
        }
    }
    assert!(changes.bad.iter().all(|change| !change.rules.is_empty()));
    assert!(changes.good.iter().all(|change| change.rules.is_empty()));
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn each_rule_has_a_bad_letter() {
    let changed: BTreeSet<String> =
        changes().bad.into_iter().flat_map(|change| change.rules).collect();
    let elsewhere = [
        "no-rules",
        "html-size",
        "html-size-near",
        "too-large-to-check",
        "opt-out-missing",
        "image-only",
    ];
    let broken =
        |code: &&str, said: &BTreeSet<String>| changed.contains(*code) || said.contains(*code);
    let mut all = BTreeSet::new();
    for (locale, sentences) in sentences() {
        let said: BTreeSet<String> = sentences.bad.into_iter().flat_map(|bad| bad.rules).collect();
        // These two are in `what_needs_company_is_wrong_alone`.
        let known = ["pay-when-paid", "no-paperwork"];
        let codes = RULES.codes(&locale).filter(|code| !known.contains(code));
        let missing: Vec<&str> = codes.filter(|code| !broken(code, &said)).collect();
        assert!(missing.is_empty(), "{locale}: {missing:?}");
        all.extend(said);
    }
    let ours = builtin_rules::CODES.iter().filter(|code| !elsewhere.contains(code));
    let missing: Vec<&&str> = ours.filter(|code| !broken(code, &all)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_languages_have_the_same_rules() {
    let english: Vec<&str> = RULES.codes("en").collect();
    for locale in RULES.locales() {
        assert_eq!(RULES.codes(locale).collect::<Vec<_>>(), english, "{locale}");
    }
}

#[test]
fn what_must_be_said_is_missed_in_every_language_and_part() {
    for locale in LOCALES {
        let silent = Clean::letter(locale).changed_wholly("");
        let findings = silent.findings(Contract::Loan);
        for rule in &RULES.get(locale).unwrap().required {
            let missed: Vec<Part> = findings
                .iter()
                .filter(|finding| finding.rule == rule.code)
                .map(|finding| finding.part)
                .collect();
            assert_eq!(missed, [Part::Text, Part::Html], "{locale}, {}", rule.code);
        }
    }
}

#[test]
fn what_needs_company_is_wrong_alone() {
    let far = "Then there is much else to be said of this and that. ".repeat(5);
    for (locale, company, sentence, rule) in [
        ("en", "through a portion of your daily sales", "Pay when you get paid.", "pay-when-paid"),
        ("en", "subject to review prior to approval", "No paperwork.", "no-paperwork"),
        (
            "de",
            "über einen Teil Ihrer täglichen Umsätze",
            "Automatisch und flexibel.",
            "pay-when-paid",
        ),
        ("de", "unterliegen einer Prüfung", "Ohne Papierkram.", "no-paperwork"),
        (
            "fr",
            "avec une part de vos ventes quotidiennes",
            "Automatique et flexible.",
            "pay-when-paid",
        ),
        ("fr", "font l'objet d'un examen", "Sans paperasse.", "no-paperwork"),
    ] {
        let letter = Clean::letter(locale);
        let alone = letter.saying(&format!("{far} {sentence} {far}")).findings(Contract::Loan);
        assert_eq!(codes(&alone), BTreeSet::from([rule.to_owned()]), "{sentence}{}", shown(&alone));
        let accompanied = letter.saying(&format!("{far} {sentence} It is {company}. {far}"));
        let accompanied = accompanied.findings(Contract::Loan);
        assert!(accompanied.is_empty(), "{sentence}{}", shown(&accompanied));
    }
}

#[test]
fn without_a_link_a_letter_says_how_to_stop_it_by_answering() {
    let mut letter = Clean::letter("en").saying("");
    letter.unsubscribe_url = None;
    letter.text = letter.text.replace("https://courier.example/unsubscribe/abc?token=secret", "");
    let start = letter.html.find("<a href=\"https://courier").unwrap();
    let end = start + letter.html[start..].find("</a>").unwrap() + 4;
    letter.html.replace_range(start..end, "");
    letter.html = letter.html.replace(" with one click. Or reply", "To stop these letters, reply");
    assert_eq!(letter.findings(Contract::Loan), []);
    let mut silent = letter.clone();
    silent.text = silent.text.replace("or reply with the word", "or not");
    assert_eq!(
        codes(&silent.findings(Contract::Loan)),
        BTreeSet::from(["opt-out-missing".to_owned()])
    );
    letter.html = letter.html.replace("capital@rocket.example", "us");
    assert!(codes(&letter.findings(Contract::Loan)).contains("opt-out-missing"));
}

#[test]
fn a_program_may_not_be_called_what_a_merchant_may() {
    let letter = Clean::letter("en").saying("");
    let renamed = Clean {
        text: letter.text.replace("Rocket Capital", "Rocket Loans"),
        html: letter.html.replace("Rocket Capital", "Rocket Loans"),
        disclaimer: vec![letter.disclaimer[0].replace("Rocket Capital", "Rocket Loans")],
        ..letter
    };
    let findings = renamed.findings(Contract::Loan);
    assert_eq!(codes(&findings), BTreeSet::from(["loan".to_owned()]), "{}", shown(&findings));
}

#[test]
fn a_letter_that_gmail_would_cut_off_is_found() {
    let letter = Clean::letter("en").saying("");
    let padded = |kilobytes: usize| {
        let html = letter
            .html
            .replace("<!-- a comment", &format!("<!-- {} a comment", "x".repeat(kilobytes * 1024)));
        codes(&Clean { html, ..letter.clone() }.findings(Contract::Loan))
    };
    assert_eq!(padded(60), BTreeSet::new());
    assert_eq!(padded(85), BTreeSet::from(["html-size-near".to_owned()]));
    assert_eq!(padded(103), BTreeSet::from(["html-size".to_owned()]));
    assert_eq!(padded(260), BTreeSet::from(["too-large-to-check".to_owned()]));
}

#[test]
fn a_letter_of_images_is_found() {
    let html = "<body><a href='https://rocket.example/capital?tab=offer&from=letter'><img src='a.png' alt='The offer'></a>";
    let letter = Clean { html: html.to_owned(), ..Clean::letter("en").saying("") };
    assert!(codes(&letter.findings(Contract::Loan)).contains("image-only"));
}

#[test]
fn a_letter_in_a_language_without_rules_is_not_passed() {
    let letter = Clean { locale: "nl", ..Clean::letter("en").saying("") };
    assert_eq!(codes(&letter.findings(Contract::Loan)), BTreeSet::from(["no-rules".to_owned()]));
}

#[test]
fn a_finding_says_what_to_do_and_names_nobody() {
    let letter =
        Clean::letter("en").saying("Loan Star Bakery, jenny.rosen@example.com, get a loan.");
    let findings = letter.findings(Contract::Loan);
    let shown = findings[0].to_string();
    assert_eq!(
        shown,
        "error: loan in the text: … (name), (name), get a «loan». All financing applications are …\n    \
         say “financing” or “business financing” (https://docs.stripe.com/capital/marketing)"
    );
    let json = serde_json::to_value(&findings[0]).unwrap();
    assert_eq!((json["part"].as_str(), json["severity"].as_str()), (Some("text"), Some("error")));
}

/// Every letter that we have, in every vocabulary, and with what may be missing from it.
fn our_facts() -> Vec<Facts> {
    let mut all = Vec::new();
    for (kind, language) in kinds_and_languages() {
        for financing in Contract::ALL {
            let facts = sample(kind, language, financing);
            for (country, is_refill) in
                refill_cases(kind).iter().flat_map(|is| ["US", "GB", "CA"].map(|of| (of, *is)))
            {
                let country = Some(country.to_owned());
                all.push(Facts { is_refill, country, ..facts.clone() });
            }
            for days in [1, 30].into_iter().filter(|_| kind == Kind::Offer) {
                let repayment_interval = Some(RepaymentInterval {
                    duration_days: Some(days),
                    minimum_amount: Some(1),
                    maximum_amount: None,
                });
                all.push(Facts { repayment_interval, ..facts.clone() });
            }
            all.push(Facts {
                account_name: Some("Loan Star Bakery".to_owned()),
                first_name: Some("Lien".to_owned()),
                ..facts.clone()
            });
            all.push(Facts {
                account_name: None,
                first_name: None,
                country: None,
                unsubscribe_url: None,
                livemode: false,
                ..facts
            });
        }
    }
    all
}

#[test]
fn our_own_letters_are_clean() {
    let own = ContactSettings {
        support: "https://rocket.example/help/loans?topic=capital".parse().ok(),
        complaints: "capital+complaints@rocket.example".parse().ok(),
    };
    for contacts in [ContactSettings::default(), own] {
        let wrong = findings_in_our_letters(contacts);
        assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<String>());
    }
}

fn findings_in_our_letters(contacts: ContactSettings) -> BTreeSet<String> {
    const ADDRESS: &str = "Rocket Rides Inc., 1 Main Street, Springfield, IL 62701";
    let writer = Writer::new(wording::Settings {
        brand: Brand::sample(),
        postal_address: ADDRESS.to_owned(),
        from_name: "Rocket Rides".to_owned(),
        from_address: "capital@rocket.example".to_owned(),
        reply_to: "help@rocket.example".to_owned(),
        has_link: true,
        contacts,
        templates_dir: None,
    })
    .unwrap();
    let mut wrong = BTreeSet::new();
    for facts in our_facts() {
        let letter = writer.write(&facts).unwrap();
        let input = Input {
            locale: facts.language.code(),
            financing: facts.financing_type,
            subject: &letter.subject,
            text: &letter.text,
            html: &letter.html,
            disclaimer: &facts.disclaimer,
            postal_address: ADDRESS,
            unsubscribe_url: facts.unsubscribe_url.as_ref(),
            reply_to: "help@rocket.example",
            program_name: "Rocket Capital",
            platform_name: "Rocket Rides",
            account_name: facts.account_name.as_deref(),
            first_name: facts.first_name.as_deref(),
            recipient: &facts.recipient,
        };
        let findings = check(&RULES, &input);
        let place = format!("\n{}, {:?}, {:?}", facts.language, facts.kind, facts.financing_type);
        wrong.extend(findings.iter().map(|finding| format!("{place}: {finding}")));
    }
    wrong
}

#[test]
fn a_rules_file_that_means_nothing_is_named_with_its_rule() {
    let good = std::fs::read_to_string(format!(
        "{}/templates/emails/rules/en.toml",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap();
    let reason = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        let error = Rules::read([("xx", good.replacen(from, to, 1).as_str())]).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error} {source}")
    };
    for (from, to, parts) in [
        ("code = \"borrow\"", "code = \"loan\"", ["xx.toml", "`loan`", "another"]),
        ("code = \"borrow\"", "code = \"html-size\"", ["xx.toml", "`html-size`", "another"]),
        ("code = \"borrow\"", "code = \"Borrow it\"", ["xx.toml", "`Borrow it`", "small letters"]),
        ("phrases = [\"borrow*\"]", "phrases = []", ["xx.toml", "`borrow`", "no phrases"]),
        ("phrases = [\"borrow*\"]", "phrases = [\"\"]", ["xx.toml", "`borrow`", "nothing"]),
        ("phrases = [\"borrow*\"]", "phrases = [\"(a\"]", ["xx.toml", "`borrow`", "not closed"]),
        ("phrases = [\"borrow*\"]", "words = [\"borrow*\"]", ["xx.toml", "words", "unknown field"]),
        (
            "financing = [\"cash_advance\", \"unspecified\"]",
            "financing = [\"mca\"]",
            ["xx.toml", "mca", "unknown variant"],
        ),
        ("source = \"marketing\"", "source = \"nobody\"", ["xx.toml", "`loan`", "`nobody`"]),
        ("severity = \"warning\"", "severity = \"fatal\"", ["xx.toml", "fatal", "unknown variant"]),
        ("\"January\", ", "", ["xx.toml", "`months`", "twelve"]),
        ("instead = \"say “flat fee”\"", "instead = \" \"", ["xx.toml", "`apr`", "instead"]),
    ] {
        let reason = reason(from, to);
        assert!(parts.iter().all(|part| reason.contains(part)), "{parts:?}: {reason}");
    }
}

#[test]
fn a_letter_is_read_in_no_time() {
    let letter = Clean::letter("en");
    let worst = [
        "<div>".repeat(2_000),
        "<p>loan ".repeat(3_000),
        "pay ".repeat(8_000),
        "a@".repeat(15_000),
        "a-".repeat(15_000),
        "<b><p>".repeat(500),
        "not personal ".repeat(8_000),
        "<a href='https://x.example/a'>b</a>".repeat(1_000),
        "1,".repeat(15_000),
        "[".repeat(30_000),
    ];
    for text in worst {
        let started = Instant::now();
        letter.saying("").changed_wholly(&text).findings(Contract::CashAdvance);
        // Generous for a test build on a busy machine: a run that explodes takes hours.
        let took = started.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?} for {}", &text[..20]);
    }
}

impl Clean {
    fn changed_wholly(&self, text: &str) -> Self {
        Self {
            text: text.to_owned(),
            html: text.to_owned(),
            subject: text.to_owned(),
            ..self.clone()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_a_letter_is_it_is_read(text in any::<String>(), html in any::<String>()) {
        let letter = Clean { text, html, ..Clean::letter("de") };
        prop_assert!(!letter.findings(Contract::Loan).is_empty());
    }

    #[test]
    fn whatever_html_a_letter_is_it_is_read(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "<p>", "</p>", "<table>", "<td ", "</td>", "<style>", "</style>", "@media (", ") {", "}", "style='", "font:",
                "color:#", "fff", "'>", "<a href=\"", "\">", "<!--[if mso]>", "<![endif]-->", "loan ", "é", "\u{200b}", "&nbsp;",
                "12", ",", "%", "$", "-\n", "www.", "@", "://", "{{", "[", "]", "\u{1F680}", "l o a n", "<img", "<br>", "ß", "ﬁ",
            ]),
            0..60,
        )
    ) {
        let html = parts.concat();
        let letter = Clean { text: html.clone(), subject: html.clone(), html, ..Clean::letter("fr") };
        letter.findings(Contract::CashAdvance);
    }
}
