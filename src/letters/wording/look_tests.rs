//! What a letter looks like: brand, tags, greeting, and the example of a day.

use std::collections::BTreeSet;

use url::Url;

use super::tests::{english, settings, writer};
use super::*;
use crate::format::money::Money;
use crate::stripe::Contract;

/// Gmail cuts a message off there.
const CLIPPED_BYTES: usize = 102 * 1024;
const LOGO: &str = "https://cdn.rocket.example/logo.png";
const DARK: &str = "https://cdn.rocket.example/white.png";

fn branded(accent: &str, logo: Option<&str>, dark: Option<&str>) -> Writer {
    let url = |of: Option<&str>| of.map(|text| Url::parse(text).unwrap());
    let brand = Brand {
        accent: accent.parse().unwrap(),
        logo_url: url(logo),
        logo_dark_url: url(dark),
        ..Brand::sample()
    };
    Writer::new(Settings { brand, ..settings(None) }).unwrap()
}

fn html(writer: &Writer) -> String {
    writer.write(&sample(Kind::Offer, Language::English, Contract::Loan)).unwrap().html
}

/// The text of a block in a text part.
fn text_of(writer: &Writer, language: Language, contract: Contract, country: &str) -> String {
    let country = Some(country.to_owned());
    let facts = Facts { country, ..sample(Kind::Offer, language, contract) };
    one_line(&writer.write(&facts).unwrap().text).replace(['\u{a0}', '\u{202f}'], " ")
}

#[test]
fn the_button_has_the_color_of_the_brand_in_outlook_too() {
    let html = html(&branded("#ffd400", None, None));
    let dashboard = "href=\"https://rocket.example/capital?tab=offer&amp;from=letter\"";
    let vml: Vec<&str> = html.split("<v:roundrect ").skip(1).collect();
    assert_eq!(vml.len(), 2, "{html}");
    for button in vml {
        let button = button.split("</v:roundrect>").next().unwrap();
        assert!(button.contains("fillcolor=\"#ffd400\"") && button.contains(dashboard), "{button}");
        assert!(button.contains("color:#000000") && button.contains("See the offer"), "{button}");
    }
    assert_eq!(html.matches("<!--[if mso]><v:roundrect").count(), 2);
    let links: Vec<&str> = html.split("<!--[if !mso]><!--><a ").skip(1).collect();
    assert_eq!(links.len(), 2, "{html}");
    for link in links {
        let style = "background-color: #ffd400; color: #000000;";
        assert!(link.contains(style) && link.contains(dashboard), "{link}");
        assert!(link.contains("</a><!--<![endif]-->"), "{link}");
    }
    // Yellow words would be illegible on white.
    let (_, body) = html.split_once("<body").unwrap();
    assert!(!body.contains(" color: #ffd400"), "{body}");
}

#[test]
fn in_dark_mode_the_button_keeps_its_brand_and_stays_visible() {
    let accent = Brand { accent: "#14213d".parse().unwrap(), ..Brand::sample() }.accent;
    let html = html(&branded("#14213d", None, None));
    let (_, dark) = html.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let (paint, ink) = (accent.dark.paint.to_string(), accent.dark.ink.to_string());
    assert_ne!(paint, "#14213d");
    assert!(
        dark.contains(&format!("background-color: {paint} !important; color: {ink}")),
        "{dark}"
    );
}

#[test]
fn a_letter_loads_the_logo_and_nothing_else() {
    for (logo, dark, loaded) in [
        (None, None, vec![]),
        (Some(LOGO), None, vec![LOGO]),
        (Some(LOGO), Some(DARK), vec![LOGO, DARK]),
    ] {
        let html = html(&branded("#1f5eff", logo, dark));
        let sources: Vec<&str> =
            html.split("src=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert_eq!(sources, loaded);
        assert_eq!(html.matches("alt=\"Rocket Capital\"").count(), loaded.len());
        // Without a logo for dark mode, a plate; and never both.
        let has_plate = html.contains(".logo-light { background-color: #ffffff !important");
        assert_eq!(has_plate, dark.is_none());
        let hides = html.contains(".logo-light { display: none !important");
        assert_eq!(hides, dark.is_some());
    }
    // Where images are blocked, the alternative text is the bold name.
    let html = html(&branded("#1f5eff", Some(LOGO), None));
    let image = html.split("<img ").nth(1).unwrap().split('>').next().unwrap();
    assert!(image.contains("font-weight: 700") && image.contains("height=\"32\""), "{image}");
}

#[test]
fn no_letter_is_so_long_that_gmail_clips_it() {
    let writer = branded("#1f5eff", Some(LOGO), Some(DARK));
    let paragraph = "The disclaimer that Stripe approved for the market. ".repeat(40);
    for (kind, language) in kinds_and_languages() {
        for mut facts in sample_facts::covering_facts(kind, language) {
            facts.disclaimer = vec![paragraph.clone(); 4];
            let letter = writer.write(&facts).unwrap();
            let bytes = letter.html.len();
            assert!(bytes < CLIPPED_BYTES / 2, "{kind}, {language}: {bytes} bytes");
        }
    }
}

#[test]
fn the_tag_tells_the_kinds_apart() {
    let writer = writer();
    for language in Language::ALL {
        let tags: BTreeSet<String> = Kind::ALL
            .into_iter()
            .map(|kind| {
                let letter = writer.write(&sample(kind, language, Contract::Loan)).unwrap();
                let is_reminder = letter.html.contains("class=\"tag-reminder\"");
                assert_eq!(is_reminder, kind.is_reminder(), "{kind}");
                let (_, line) = letter.text.lines().next().unwrap().split_once(" · ").unwrap();
                let shown = line.replace('\'', "&#x27;");
                assert!(letter.html.contains(&format!(">{shown}</span>")), "{line}");
                line.to_owned()
            })
            .collect();
        assert_eq!(tags.len(), Kind::ALL.len(), "{tags:?}");
    }
}

#[test]
fn a_greeting_has_the_first_name_or_none() {
    let writer = writer();
    for (language, named, unnamed) in [
        (Language::English, "Hello Jenny,", "Hello,"),
        (Language::German, "Guten Tag Jenny,", "Guten Tag,"),
        (Language::French, "Bonjour Jenny,", "Bonjour,"),
    ] {
        let facts = sample(Kind::Offer, language, Contract::Loan);
        let greeting = |facts: &Facts| {
            let text = writer.write(facts).unwrap().text;
            text.lines().nth(2).unwrap().to_owned()
        };
        assert_eq!(greeting(&facts), named);
        assert_eq!(greeting(&Facts { first_name: None, ..facts }), unnamed);
    }
}

/// Language, contract, country and what the letter says.
const EXAMPLES: [(Language, Contract, &str, &str); 9] = [
    (
        Language::English,
        Contract::Loan,
        "US",
        "On a day with $1,000 in sales, $150 goes to your financing. On a day without sales, \
             nothing is withheld, and the minimum for the period is still due. You pay through",
    ),
    (
        Language::English,
        Contract::CashAdvance,
        "GB",
        "On a day with $1,000 in sales, $150 is withheld. On a day without sales, nothing is \
             withheld. A portion",
    ),
    (
        Language::English,
        Contract::FixedTermLoan,
        "US",
        "On a day with $1,000 in sales, $150 is withheld, until the minimum for the period is \
             met. On a day without sales, nothing is withheld, and the minimum is still due. Each",
    ),
    // No minimum is documented, nor that there is none.
    (
        Language::English,
        Contract::Loan,
        "CA",
        "On a day with $1,000 in sales, $150 goes to your financing. You pay",
    ),
    (
        Language::English,
        Contract::CashAdvance,
        "AU",
        "On a day with $1,000 in sales, $150 is withheld. A portion",
    ),
    (
        Language::German,
        Contract::Loan,
        "DE",
        "An einem Tag mit 1.000 € Umsatz fließen 150 € in Ihre Finanzierung. An einem Tag ohne \
             Umsatz wird nichts einbehalten; der Mindestbetrag für den Zeitraum bleibt fällig.",
    ),
    (
        Language::German,
        Contract::CashAdvance,
        "GB",
        "werden 150 € einbehalten. An einem Tag ohne Umsatz wird nichts einbehalten. Einbehalten",
    ),
    (
        Language::French,
        Contract::Loan,
        "FR",
        "150 € sont affectés à votre financement. Un jour sans vente, rien n’est retenu, et le montant \
             minimum de la période reste dû.",
    ),
    (
        Language::French,
        Contract::CashAdvance,
        "US",
        "150 € sont retenus. Un jour sans vente, rien n’est retenu. Une part",
    ),
];

#[test]
fn the_example_of_a_day_follows_the_product() {
    let writer = writer();
    for (language, contract, country, example) in EXAMPLES {
        let text = text_of(&writer, language, contract, country);
        assert!(text.contains(example), "`{example}` is not in {text}");
    }
    // Nothing is known about the withholding of a fixed-term loan elsewhere.
    let text = text_of(&writer, Language::English, Contract::FixedTermLoan, "CA");
    assert!(!text.contains("On a day"), "{text}");
}

#[test]
fn the_example_multiplies_the_rate_and_needs_a_currency_with_hundredths() {
    let writer = writer();
    for (rate, currency, sentence) in [
        (0.123_45, "usd", Some("$123.45 goes")),
        (0.2, "usd", Some("$200 goes")),
        (1.0, "usd", Some("$1,000 goes")),
        (0.15, "jpy", None),
    ] {
        let money = |minor| Money { minor, currency: currency.to_owned() };
        let facts = Facts {
            withhold_rate: rate,
            advance: money(1_500_000),
            fee: money(180_000),
            ..english(Kind::Offer, Contract::Loan, None)
        };
        let text = one_line(&writer.write(&facts).unwrap().text);
        match sentence {
            Some(sentence) => assert!(text.contains(sentence), "{text}"),
            None => assert!(!text.contains("On a day"), "{text}"),
        }
    }
}

#[test]
fn an_approval_does_not_depend_on_logo_and_color() {
    let disclaimer = &Disclaimers::default().all()[0];
    let hash = |writer: &Writer| writer.copy_hash(Kind::Offer, disclaimer);
    assert_eq!(hash(&branded("#ffd400", Some(LOGO), Some(DARK))), hash(&writer()));
    let brand = Brand { program_name: "Comet Capital".to_owned(), ..Brand::sample() };
    let renamed = Writer::new(Settings { brand, ..settings(None) }).unwrap();
    assert_ne!(hash(&renamed), hash(&writer()));
}
