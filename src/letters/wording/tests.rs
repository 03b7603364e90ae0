//! Letters, read as a merchant, as a compliance officer and as an attacker would; and templates, as
//! an operator breaks them.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::stripe::{Contract, RepaymentInterval};

pub(super) fn settings(templates_dir: Option<&Path>) -> Settings {
    Settings {
        brand: Brand::sample(),
        postal_address: "Rocket Rides Inc., 1 Main Street, Springfield, IL 62701".to_owned(),
        from_name: "Rocket Rides".to_owned(),
        from_address: "capital@rocket.example".to_owned(),
        reply_to: "help@rocket.example".to_owned(),
        has_link: true,
        contacts: ContactSettings::default(),
        templates_dir: templates_dir.map(Path::to_owned),
    }
}

pub(super) fn writer() -> Writer {
    Writer::new(settings(None)).unwrap()
}

/// `name` is the recipient's and the business's.
pub(super) fn english(kind: Kind, financing_type: Contract, name: Option<&str>) -> Facts {
    Facts {
        account_name: name.map(str::to_owned),
        first_name: name.map(str::to_owned),
        ..sample(kind, Language::English, financing_type)
    }
}

/// Every letter in every vocabulary, with a name and without.
fn all_letters() -> Vec<(Facts, WrittenLetter)> {
    let writer = writer();
    let mut letters = Vec::new();
    for (kind, language) in kinds_and_languages() {
        for financing_type in Contract::ALL {
            let named = sample(kind, language, financing_type);
            let unnamed = Facts { account_name: None, first_name: None, ..named.clone() };
            for facts in [named, unnamed] {
                let letter = writer.write(&facts).unwrap();
                letters.push((facts, letter));
            }
        }
    }
    letters
}

/// HTML without its tags and entities, for searching in its words.
fn words_of(html: &str) -> String {
    let body = html.split_once("<body").map_or(html, |(_, body)| body);
    let mut text = String::new();
    let mut inside = true;
    for c in body.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            _ if !inside => text.push(c),
            _ => {}
        }
    }
    one_line(&text.replace("&#x27;", "'").replace("&amp;", "&"))
}

#[test]
fn every_letter_reads_well_in_every_language() {
    let writer = writer();
    for (kind, language) in kinds_and_languages() {
        let letter = writer.write(&sample(kind, language, Contract::Loan)).unwrap();
        let page =
            format!("Subject: {}\nPreview: {}\n\n{}", letter.subject, letter.preview, letter.text);
        insta::assert_snapshot!(format!("{kind}_{language}"), page);
    }
}

#[test]
fn a_cash_advance_has_a_vocabulary_of_its_own() {
    for language in Language::ALL {
        let facts = Facts {
            account_name: None,
            first_name: None,
            livemode: false,
            unsubscribe_url: None,
            ..sample(Kind::Offer, language, Contract::CashAdvance)
        };
        let letter = writer().write(&facts).unwrap();
        assert!(letter.subject.starts_with("[Test] "), "{}", letter.subject);
        insta::assert_snapshot!(format!("cash_advance_{language}"), letter.text);
    }
}

#[test]
fn the_html_says_the_same_in_another_form() {
    let letter =
        writer().write(&english(Kind::Offer, Contract::Loan, Some("Jenny's Bakery"))).unwrap();
    insta::assert_snapshot!("offer_en_html", letter.html);
    insta::assert_snapshot!("offer_en_words_of_html", words_of(&letter.html));
}

/// What the letters say about a minimum of 60, 30 and 7 days, about the bank debit, and about the
/// withholding of a fixed-term loan.
const PERIODS: [(Language, [&str; 5]); 3] = [
    (
        Language::English,
        [
            "A minimum amount is due every 60 days.",
            "A minimum amount is due every 30 days.",
            "A minimum amount is due each week.",
            "If your sales don’t cover it, the difference is debited from your bank account.",
            "Each week, a portion of your daily sales is withheld until the minimum for that week is met.",
        ],
    ),
    (
        Language::German,
        [
            "Alle 60 Tage ist ein Mindestbetrag fällig.",
            "Alle 30 Tage ist ein Mindestbetrag fällig.",
            "Jede Woche ist ein Mindestbetrag fällig.",
            "Reichen Ihre Umsätze dafür nicht aus, wird die Differenz von Ihrem Bankkonto eingezogen.",
            "Jede Woche wird ein Anteil Ihrer Tagesumsätze einbehalten, bis der Mindestbetrag für die Woche erreicht ist.",
        ],
    ),
    (
        Language::French,
        [
            "Un montant minimum est dû tous les 60 jours.",
            "Un montant minimum est dû tous les 30 jours.",
            "Un montant minimum est dû chaque semaine.",
            "Si vos ventes ne suffisent pas à le couvrir, la différence est prélevée sur votre compte bancaire.",
            "Chaque semaine, une part de vos ventes quotidiennes est retenue jusqu’à ce que le montant minimum de la semaine soit atteint.",
        ],
    ),
];

#[test]
fn a_letter_says_what_is_documented_for_its_product_and_market_and_nothing_else() {
    let (loan, fixed, advance) = (Contract::Loan, Contract::FixedTermLoan, Contract::CashAdvance);
    let writer = writer();
    // Indexes into `PERIODS`.
    for (country, contract, says) in [
        ("US", loan, &[0, 3][..]),
        ("US", advance, &[]),
        ("US", fixed, &[4]),
        ("AU", loan, &[1, 3]),
        ("GB", advance, &[]),
        ("GB", loan, &[2]),
        ("DE", loan, &[2]),
        ("FR", loan, &[2]),
        ("CA", loan, &[]),
        ("DE", fixed, &[]),
        ("US", Contract::Unspecified, &[]),
    ] {
        for (language, sentences) in PERIODS {
            let country = Some(country.to_owned());
            let facts = Facts { country, ..sample(Kind::Offer, language, contract) };
            let letter = writer.write(&facts).unwrap();
            let texts = [one_line(&letter.text), words_of(&letter.html)]
                .map(|text| text.replace(['\u{a0}', '\u{202f}'], " "));
            for text in &texts {
                for (at, sentence) in sentences.into_iter().enumerate() {
                    let is_said = text.contains(sentence);
                    assert_eq!(is_said, says.contains(&at), "{facts:?}: `{sentence}` in {text}");
                }
                let minimum = ["minimum", "Mindestbetrag", "montant minimum"];
                let has_minimum = minimum.iter().any(|word| text.contains(word));
                assert_eq!(has_minimum, !says.is_empty(), "{facts:?}: {text}");
            }
        }
    }
}

#[test]
fn a_minimum_from_stripe_overrides_the_documented_one() {
    for (days, amount, says) in [
        (Some(45), Some(100), "A minimum amount is due every 45 days. If your sales"),
        (Some(1), Some(100), "A minimum amount is due each day. If your sales"),
        (Some(45), Some(0), "less on quiet ones. WHAT HAPPENS NEXT"),
    ] {
        let interval =
            RepaymentInterval { duration_days: days, minimum_amount: amount, maximum_amount: None };
        let facts = Facts {
            repayment_interval: Some(interval),
            ..english(Kind::Offer, Contract::Loan, None)
        };
        let text = one_line(&writer().write(&facts).unwrap().text);
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn a_fixed_term_loan_has_words_of_its_own() {
    for language in Language::ALL {
        let facts = Facts {
            country: Some("US".to_owned()),
            ..sample(Kind::Offer, language, Contract::FixedTermLoan)
        };
        insta::assert_snapshot!(
            format!("fixed_term_loan_{language}"),
            writer().write(&facts).unwrap().text
        );
    }
}

#[test]
fn only_a_refill_shows_a_discount_on_the_fee_of_the_running_financing() {
    for (is_refill, fee_discount, is_shown) in
        [(true, Some(0.1), true), (true, None, false), (false, Some(0.1), false)]
    {
        let facts =
            Facts { is_refill, fee_discount, ..english(Kind::Reminder7d, Contract::Loan, None) };
        let letter = writer().write(&facts).unwrap();
        for text in [one_line(&letter.text), words_of(&letter.html)] {
            let says = text.contains("Discount on your current flat fee 10% of what remains of it");
            assert_eq!(says, is_shown, "{text}");
        }
        let banner = writer().banner(&facts).unwrap();
        let says = banner.terms.iter().any(|line| line.value == "10% of what remains of it");
        assert_eq!(says, is_shown, "{banner:?}");
    }
}

#[test]
fn a_letter_says_whom_to_ask_and_where_to_complain() {
    let [help, complaints] = ["help@rocket.example", "https://rocket.example/complaints?x=1&y=2"];
    let stripe = "capital+support@stripe.com";
    let both = "If you have a question or a complaint about Rocket Capital, write to";
    let question = "If you have a question about Rocket Capital, write to";
    for (support, complaint, expected) in [
        ("", "", format!("{both} {stripe}")),
        (help, "", format!("{question} {help} If you have a complaint, write to {stripe}")),
        (
            "",
            complaints,
            format!("{question} {stripe} If you have a complaint, go to {complaints}"),
        ),
        (complaints, complaints, format!("{} go to {complaints}", both.replace(" write to", ""))),
    ] {
        let contacts =
            ContactSettings { support: support.parse().ok(), complaints: complaint.parse().ok() };
        let writer = Writer::new(Settings { contacts, ..settings(None) }).unwrap();
        let letter = writer.write(&english(Kind::Offer, Contract::Loan, None)).unwrap();
        let text = one_line(&letter.text);
        assert!(text.contains(&format!("{expected} -- This is an")), "{text}");
        let html = words_of(&letter.html).replace(" . ", " ");
        assert!(html.contains(&format!("{expected} All financing")), "{html}");
    }
    for (language, expected) in [
        (Language::German, "Bei Fragen oder Beschwerden zu Rocket Capital schreiben Sie an"),
        (
            Language::French,
            "Pour toute question ou réclamation concernant Rocket Capital, écrivez à",
        ),
    ] {
        let text = writer().write(&sample(Kind::Offer, language, Contract::Loan)).unwrap().text;
        let text = one_line(&text).replace('\u{a0}', " ");
        assert!(text.contains(&format!("{expected} stripe-assistance@youlend.com")), "{text}");
    }
}

/// What the letter says of the financing that runs; none where it says nothing.
fn said_of_what_runs(facts: &Facts) -> Option<&'static str> {
    let text = one_line(&writer().write(facts).unwrap().text);
    let ways = [
        "part of the new financing is used to complete your current financing",
        "part of the new cash advance is used to complete your current financing",
        "your current financing continues alongside the new one",
    ];
    let said: Vec<&str> = ways.into_iter().filter(|way| text.contains(way)).collect();
    assert!(said.len() <= 1, "{text}");
    said.first().copied()
}

#[test]
fn a_refill_and_its_reminders_say_what_becomes_of_the_financing_that_runs() {
    let [loan, advance] = [Contract::Loan, Contract::CashAdvance];
    for kind in [Kind::Refill, Kind::Reminder7d, Kind::Reminder14d, Kind::ReEngagement] {
        for (country, financing_type, says) in [
            (
                Some("US"),
                loan,
                Some("part of the new financing is used to complete your current financing"),
            ),
            (
                Some("US"),
                advance,
                Some("part of the new cash advance is used to complete your current financing"),
            ),
            (Some("GB"), advance, Some("your current financing continues alongside the new one")),
            (Some("CA"), loan, None),
            (None, loan, None),
        ] {
            let country = country.map(str::to_owned);
            let facts = Facts {
                country,
                is_refill: true,
                ..sample(kind, Language::English, financing_type)
            };
            assert_eq!(said_of_what_runs(&facts), says, "{kind}, {:?}", facts.country);
        }
    }
}

#[test]
fn a_reminder_of_an_only_financing_says_nothing_of_another() {
    for kind in [Kind::Offer, Kind::Repeat, Kind::Reminder7d, Kind::Reminder14d, Kind::ReEngagement]
    {
        assert_eq!(said_of_what_runs(&english(kind, Contract::Loan, None)), None, "{kind}");
    }
}

#[test]
fn every_letter_has_what_is_the_same_in_all_of_them_in_text_and_in_html() {
    for (facts, letter) in all_letters() {
        let text = one_line(&letter.text);
        let html = words_of(&letter.html);
        let fee = if facts.language == Language::English { "$1,800.00" } else { "800,00\u{a0}€" };
        for must in [
            fee,
            "2030",
            "Rocket Rides Inc., 1 Main Street, Springfield, IL 62701",
            "help@rocket.example",
            "jenny.rosen@example.com",
            facts.disclaimer[0].as_str(),
        ] {
            assert!(text.contains(must), "no `{must}` in the text: {text}");
            assert!(html.contains(must), "no `{must}` in the HTML: {html}");
        }
        assert!(letter.text.contains("https://rocket.example/capital?tab=offer&from=letter"));
        assert!(
            letter
                .html
                .contains("href=\"https://rocket.example/capital?tab=offer&amp;from=letter\"")
        );
        assert!(letter.html.contains("href=\"https://courier.example.com/unsubscribe/token\""));
        // Whatever is loaded from elsewhere tells its host who reads the letter, and when.
        for loads in ["<link", "@import", "url(", "<img", "src="] {
            assert!(!letter.html.contains(loads), "`{loads}` in the HTML");
        }
        // As Rust would write a no-break space, and nobody would read it.
        assert!(!letter.html.contains("\\u{"), "{}", letter.html);
        assert!(
            letter
                .text
                .lines()
                .all(|line| line.chars().count() <= 78 || line.starts_with("https://")),
            "{}",
            letter.text
        );
        assert!(letter.subject.chars().count() <= 70, "{}", letter.subject);
    }
}

#[test]
fn a_name_is_text_and_nothing_else() {
    for name in [
        "</a><script>alert(1)</script>",
        "{{ 7*7 }}",
        "{% raw %}",
        "<mj-raw>",
        "\" onclick=\"x",
        "&lt;b&gt;",
        "]]>",
        "<!--",
    ] {
        let letter = writer().write(&english(Kind::Offer, Contract::Loan, Some(name))).unwrap();
        assert!(letter.text.contains(name), "{name} was filled in as something else");
        let harmless = !name.contains(['<', '>', '"', '&']);
        assert!(
            harmless || !letter.html.contains(&format!("Hello {name}")),
            "{name} stands unescaped in the HTML"
        );
    }
    let name = "Bob\r\nBcc: x\u{202e}y";
    let letter = writer().write(&english(Kind::Offer, Contract::Loan, Some(name))).unwrap();
    assert!(letter.text.contains("Hello Bob Bcc: xy,") && !letter.html.contains('\u{202e}'));
}

#[test]
fn a_name_greets_without_what_nobody_sees_and_without_links() {
    for (name, greeting) in [
        ("\u{115f}\u{2800}", "Hello,"),
        ("\u{3164}", "Hello,"),
        ("evil.example/win", "Hello,"),
        ("a@evil.example", "Hello,"),
        ("Win at https://evil.example now", "Hello Win at now,"),
    ] {
        let letter = writer().write(&english(Kind::Offer, Contract::Loan, Some(name))).unwrap();
        assert!(letter.text.contains(greeting) && !letter.html.contains("evil"), "{name:?}");
    }
}

#[test]
fn a_template_that_would_never_end_or_nests_without_end_is_refused_with_its_place() {
    let wide = "{% for a in range(90000) %}{% for b in range(90000) %}x{% endfor %}{% endfor %}";
    let deep = format!("<mjml><mj-body><mj-raw>{}", "<b>".repeat(25_000));
    let looped = "<mjml><mj-body><mj-raw>{% for a in range(100000) %}<b>{% endfor %}";
    let inside = format!("{}{}", "<div>".repeat(97), "</div>".repeat(97));
    let bounded = format!("<mjml><mj-body><mj-raw>{inside}</mj-raw></mj-body></mjml>");
    let refused = |file: &str, text: &str| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(file), text).unwrap();
        Writer::new(settings(Some(dir.path()))).map(|_| ()).map_err(|error| error.to_string())
    };
    for (file, text, problem) in [
        ("body.txt", wide, "fuel"),
        ("body.mjml", deep.as_str(), "nested more than"),
        ("body.mjml", looped, ""),
    ] {
        let error = refused(file, text).unwrap_err();
        assert!(error.contains(problem) && error.contains(file), "{error}");
    }
    // What is allowed needs no more stack than a thread has.
    let outcome = std::thread::Builder::new()
        .stack_size(1024 * 1024)
        .spawn(move || refused("body.mjml", &bounded));
    assert_eq!(outcome.unwrap().join().unwrap(), Ok(()));
}

#[test]
fn a_hash_is_of_one_letter_and_of_all_that_is_in_it() {
    let (ours, disclaimers) = (writer(), Disclaimers::default().all());
    let hashes: Vec<String> = disclaimers
        .iter()
        .flat_map(|disclaimer| Kind::ALL.map(|kind| ours.copy_hash(kind, disclaimer)))
        .collect();
    let mut unlike = hashes.clone();
    unlike.sort();
    unlike.dedup();
    assert_eq!(unlike.len(), hashes.len());
    let moved = Settings { postal_address: "2 Side Street".to_owned(), ..settings(None) };
    assert_ne!(Writer::new(moved).unwrap().copy_hash(Kind::Offer, &disclaimers[0]), hashes[0]);
    // Stripe's contact depends on the market, and the operator's complaints address replaces it.
    let complaints = "capital+support@stripe.com".parse().ok();
    let contacts = ContactSettings { complaints, ..ContactSettings::default() };
    let own = Writer::new(Settings { contacts, ..settings(None) }).unwrap();
    for (number, disclaimer) in disclaimers.iter().enumerate() {
        let is_same = own.copy_hash(Kind::Offer, disclaimer) == hashes[number * Kind::ALL.len()];
        let has_other = matches!(disclaimer.market.as_deref(), Some("DE" | "FR"));
        assert_eq!(is_same, !has_other, "{}", disclaimer.variant);
    }
    // Another word in a letter is another hash of that letter alone.
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "refill/en/words.txt", "{% extends \"words/en.txt\" %}");
    let other = Writer::new(settings(Some(dir.path()))).unwrap();
    assert_eq!(other.copy_hash(Kind::Offer, &disclaimers[0]), hashes[0]);
    assert_ne!(other.copy_hash(Kind::Refill, &disclaimers[0]), hashes[1]);
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn an_operators_template_takes_the_place_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        "words/en.txt",
        &format!(
            "{}{{% block button %}}Have a look{{% endblock %}}",
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/emails/words/en.txt"))
                .replace("{% block button %}See the offer{% endblock %}", "")
        ),
    );
    write(
        dir.path(),
        "offer/en/subject.txt",
        "For {{ account_name or \"you\" }}: {{ words.subject }}",
    );
    write(dir.path(), "offer/fr/body.mjml", "<mjml><mj-body><mj-include /></mj-body></mjml>");
    write(dir.path(), ".git/config", "left alone");
    write(dir.path(), "partials/look.mjml", "<mj-text>{{ words.lead }}</mj-text>");
    write(
        dir.path(),
        "offer/fr/body.mjml",
        "\u{feff}<mjml>\r\n<mj-body><mj-section><mj-column>{% include \"partials/look.mjml\" %}</mj-column></mj-section></mj-body></mjml>",
    );
    let writer = Writer::new(settings(Some(dir.path()))).unwrap();
    let letter = |kind, language| writer.write(&sample(kind, language, Contract::Loan)).unwrap();
    let offer = letter(Kind::Offer, Language::English);
    assert_eq!(
        offer.subject,
        "For Jenny's Bakery: You’re prequalified for up to $15,000 in business financing"
    );
    assert!(offer.html.contains("Have a look"));
    let refill = letter(Kind::Refill, Language::English);
    assert!(
        refill.html.contains("Have a look") && refill.subject.starts_with("You’re prequalified")
    );
    let french = words_of(&letter(Kind::Offer, Language::French).html);
    assert!(
        french.ends_with("Votre entreprise est préqualifiée pour un financement allant jusqu’à"),
        "{french}"
    );
}

#[test]
fn a_template_that_is_wrong_is_named_with_its_line() {
    let mjml = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/emails/body.mjml"));
    let line_of =
        |text: &str, what: &str| text.lines().position(|line| line.contains(what)).unwrap() + 1;
    for (name, text, says) in [
        (
            "subject.txt",
            "\n{{ words.subject }} {{ advanse }}",
            "subject.txt, line 2: undefined name `advanse`",
        ),
        (
            "offer/en/body.txt",
            "{% if livemode %}\n\n{{ words.leed }}{% endif %}",
            "body.txt, line 3: undefined name `words.leed`",
        ),
        (
            "refill/de/words.txt",
            "{% extends \"words/de.txt\" %}\n{% block leed %}x{% endblock %}",
            "words.txt, line 2: undefined name `leed`",
        ),
        ("offer/en/body.txt", "{% if livemode %}", "body.txt, line 1: syntax error"),
        ("offer/en/body.txt", "\n{{ advance | upercase }}", "body.txt, line 2: unknown filter"),
        (
            "offer/en/body.txt",
            "{% include \"partials/gone.txt\" %}",
            "body.txt, line 1: template not found",
        ),
        (
            "offer/en/body.mjml",
            "<mjml><mj-body>{% include \"partials/text.txt\" %}</mj-body></mjml>",
            "line 1: template not found",
        ),
        ("offer/en/body.txt", "{% include \"body.txt\" %}", "line 1: template not found"),
        (
            "body.mjml",
            &mjml.replace("<mj-divider ", "<mj-dividr "),
            &format!("body.mjml, near line {}: not MJML", line_of(mjml, "<mj-divider ")),
        ),
        (
            "body.mjml",
            &mjml.replace("</mjml>", ""),
            &format!("body.mjml, near line {}: not MJML", line_of(mjml, "</mj-body>")),
        ),
        ("offer/en/body.mjml", "<p>Hello</p>", "body.mjml, near line 1: not MJML"),
        ("offer/en/letter.txt", "x", "letter.txt: unknown template name"),
        ("ofer/en/body.txt", "x", "ofer/en/body.txt: unknown template name"),
        ("offer/nl/words.txt", "x", "offer/nl/words.txt: unknown template name"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), name, text);
        let Err(error) = Writer::new(settings(Some(dir.path()))) else {
            panic!("{name} was taken: {text}")
        };
        let error = error.to_string();
        assert!(
            error.contains(says) && error.contains(dir.path().to_str().unwrap()),
            "{name}: {error}"
        );
    }
    let nowhere = Writer::new(settings(Some(Path::new("/nowhere")))).unwrap_err().to_string();
    assert!(nowhere.starts_with("cannot read /nowhere"), "{nowhere}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_the_name_the_subject_is_one_line_and_the_html_keeps_its_shape(name in any::<String>()) {
        let writer = writer();
        let letter = writer.write(&english(Kind::Offer, Contract::Loan, Some(&name))).unwrap();
        prop_assert!(!letter.subject.chars().any(char::is_control));
        let plain = writer.write(&english(Kind::Offer, Contract::Loan, Some("x"))).unwrap();
        let nothing = writer.write(&english(Kind::Offer, Contract::Loan, None)).unwrap();
        let tags = letter.html.matches('<').count();
        prop_assert!(tags == plain.html.matches('<').count() || tags == nothing.html.matches('<').count());
    }
}
