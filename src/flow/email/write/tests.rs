//! Letters, read as a compliance officer and as an attacker would.

use proptest::prelude::*;

use super::*;

fn writer() -> Writer {
    Writer::new(Settings {
        program_name: "Rocket Capital".to_owned(),
        dashboard_url: Url::parse("https://rocket.example/capital?tab=offer&from=letter").unwrap(),
        postal_address: "Rocket Rides Inc., 1 Main Street, Springfield, IL 62701".to_owned(),
        from_name: "Rocket Rides".to_owned(),
        from_address: "capital@rocket.example".to_owned(),
        reply_to: "capital@rocket.example".to_owned(),
        has_link: true,
    })
    .unwrap()
}

fn facts(financing_type: FinancingType, name: Option<&str>) -> Facts {
    let mut facts = sample(financing_type, name.map(str::to_owned));
    facts.expires_at = DateTime::from_timestamp(1_798_113_600, 0).unwrap();
    facts.livemode = true;
    facts
}

fn all_letters() -> Vec<Written> {
    let mut letters = Vec::new();
    for financing_type in [FinancingType::Loan, FinancingType::CashAdvance, FinancingType::Unspecified] {
        for name in [None, Some("Jenny's Bakery")] {
            letters.push(writer().write(&facts(financing_type, name)).unwrap());
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
    one_line(&text.replace("&#x27;", "'").replace("&#x2f;", "/").replace("&amp;", "&"))
}

#[test]
fn a_letter_about_a_loan_reads_well() {
    let letter = writer().write(&facts(FinancingType::Loan, Some("Jenny's Bakery"))).unwrap();
    insta::assert_snapshot!("loan_subject", letter.subject);
    insta::assert_snapshot!("loan_text", letter.text);
    insta::assert_snapshot!("loan_html", letter.html);
}

#[test]
fn a_letter_about_a_cash_advance_reads_well_without_a_name_and_in_test_mode() {
    let mut facts = facts(FinancingType::CashAdvance, None);
    facts.livemode = false;
    let letter = writer().write(&facts).unwrap();
    assert!(letter.subject.starts_with("[Test] "), "{}", letter.subject);
    insta::assert_snapshot!("cash_advance_text", letter.text);
    insta::assert_snapshot!("cash_advance_words", words_of(&letter.html));
}

#[test]
fn no_letter_says_what_the_rules_forbid() {
    let forbidden = [
        "repay",
        "repaid",
        "preapproved",
        "pre-approved",
        "interest",
        "apr ",
        "loan",
        "low risk",
        "when approved",
        "instantly",
        "instant ",
        "guarantee",
        "next day",
        "no credit check",
        "won't affect your credit",
        "any time",
        "whenever",
        "powered by stripe",
        "from stripe",
        "borrow",
        "debt",
        "owe",
        "no paperwork",
        "personal use",
        "responsible lending",
        "account link",
        "connect.stripe.com",
    ];
    for letter in all_letters() {
        for part in [&letter.subject, &letter.text, &words_of(&letter.html)] {
            let part = part.to_lowercase();
            for phrase in forbidden {
                assert!(!part.contains(phrase), "`{phrase}` in: {part}");
            }
        }
    }
    let advance = writer().write(&facts(FinancingType::CashAdvance, None)).unwrap();
    for phrase in ["minimum", "obligation", "term of"] {
        assert!(!advance.text.contains(phrase) && !advance.html.contains(&format!(" {phrase}")), "{phrase}");
    }
}

#[test]
fn every_letter_says_what_the_rules_demand_in_text_and_in_html() {
    for letter in all_letters() {
        let text = one_line(&letter.text);
        for must in [
            "$1,000.00",
            "$100.00",
            "15%",
            "December 24, 2026",
            "All financing applications are subject to review prior to approval.",
            "Rocket Rides Inc., 1 Main Street, Springfield, IL 62701",
            "unsubscribe",
            "capital@rocket.example",
            "jenny.rosen@example.com",
            "advertisement",
            "business purposes",
            "prequalified",
            "if approved",
        ] {
            let has = |part: &str| part.to_lowercase().contains(&must.to_lowercase());
            assert!(has(&text), "no `{must}` in the text: {text}");
            assert!(has(&words_of(&letter.html)), "no `{must}` in the HTML: {}", words_of(&letter.html));
        }
        assert!(letter.text.contains("https://rocket.example/capital?tab=offer&from=letter"));
        assert!(
            letter
                .html
                .contains("href=\"https:&#x2f;&#x2f;rocket.example&#x2f;capital?tab=offer&amp;from=letter\"")
        );
        // Gmail cuts messages off at 102 KB.
        assert!(letter.html.len() < 40_000, "{} bytes of HTML", letter.html.len());
        assert!(
            letter.text.lines().all(|line| line.len() <= 78 || line.starts_with("https://")),
            "{}",
            letter.text
        );
    }
}

#[test]
fn a_name_is_text_and_nothing_else() {
    for name in
        ["</a><script>alert(1)</script>", "{{ 7*7 }}", "{% raw %}", "<mj-raw>", "\" onclick=\"x", "&lt;b&gt;"]
    {
        let letter = writer().write(&facts(FinancingType::Loan, Some(name))).unwrap();
        assert!(letter.text.contains(name), "{name} was filled in as something else");
        let harmless = !name.contains(['<', '"', '&']);
        assert!(harmless || !letter.html.contains(name), "{name} stands unescaped in the HTML");
    }
    let letter =
        writer().write(&facts(FinancingType::Loan, Some("Bob\r\nBcc: x@y.example\u{202e}evil"))).unwrap();
    assert!(letter.text.contains("Bob Bcc: x@y.example evil") && !letter.html.contains('\u{202e}'));
}

#[test]
fn a_rate_is_written_without_noise() {
    let written: Vec<String> = [0.15, 0.125, 0.2, 0.07, 0.333_333, 1.0, 0.0].map(percent).into();
    assert_eq!(written, ["15%", "12.5%", "20%", "7%", "33.33%", "100%", "0%"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_the_name_the_subject_is_one_line_and_the_html_keeps_its_shape(name in any::<String>()) {
        let writer = writer();
        let letter = writer.write(&facts(FinancingType::Loan, Some(&name))).unwrap();
        prop_assert!(!letter.subject.chars().any(char::is_control));
        let plain = writer.write(&facts(FinancingType::Loan, Some("x"))).unwrap();
        let nothing = writer.write(&facts(FinancingType::Loan, None)).unwrap();
        let tags = letter.html.matches('<').count();
        prop_assert!(tags == plain.html.matches('<').count() || tags == nothing.html.matches('<').count());
    }
}
