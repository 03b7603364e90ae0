//! Letters from a kept layout against letters whose MJML was converted for themselves.

use super::tests::{settings, writer};
use super::*;
use crate::format::money::Money;
use crate::stripe::Contract;

/// Names and addresses that HTML, XML, MJML or its converter could change.
const ODD: [&str; 9] = [
    "Jenny's Bakery",
    r#"<b>Jenny</b> & "Sons" / Söhne"#,
    r"Back\slash\u{a0}",
    "No\u{a0}break\u{2009}spaces\u{202f}and\u{ad}hyphens",
    "~~3~~ and ~~",
    "{{ words.lead }} {% raw %} &amp; &#x2f; &nbsp;",
    "e\u{301}\u{200d}👩‍👩‍👧 \u{5d0}",
    "<mj-text>]]><!--",
    "]",
];

#[test]
fn a_letter_from_a_kept_layout_is_the_same_to_the_byte() {
    let bare = Brand { logo_url: None, logo_dark_url: None, ..Brand::sample() };
    let mut odd_values = (0..).zip(ODD.into_iter().cycle());
    for brand in [Brand::sample(), bare] {
        let brand = Brand { program_name: "R&D <Capital>".to_owned(), ..brand };
        let writer = Writer::new(Settings { brand, ..settings(None) }).unwrap();
        for (kind, language) in kinds_and_languages() {
            // Every branch, and every odd value in some of them.
            for facts in sample_facts::covering_facts(kind, language) {
                same(&writer, &facts);
                let (number, odd) = odd_values.next().unwrap();
                let mut other = facts.clone();
                other.account_name = facts.account_name.as_ref().map(|_| odd.to_owned());
                other.first_name = facts.first_name.as_ref().map(|_| odd.to_owned());
                odd.clone_into(&mut other.recipient);
                other.advance.minor += number * 7_654_321;
                other.withhold_rate = 0.01 * f64::from(i32::try_from(number % 90).unwrap() + 1);
                other.disclaimer = vec![odd.to_owned(); facts.disclaimer.len()];
                same(&writer, &other);
            }
        }
    }
}

fn same(writer: &Writer, facts: &Facts) {
    let whole = writer.render(facts, None).unwrap();
    assert_eq!(writer.write(facts).unwrap(), whole, "{facts:?}");
}

#[test]
fn layouts_are_kept_and_used() {
    let writer = writer();
    let facts = sample(Kind::Offer, Language::French, Contract::Loan);
    let layouts = writer.layouts.as_ref().unwrap();
    for advance in [100_000, 234_567, 900_000_000] {
        let advance = Money { minor: advance, ..facts.advance.clone() };
        writer.write(&Facts { advance, ..facts.clone() }).unwrap();
        assert_eq!(layouts.counts(), (1, 1), "one skeleton, which can be used");
    }
    let folder = tempfile::tempdir().unwrap();
    let own = Writer::new(settings(Some(folder.path()))).unwrap();
    assert!(own.layouts.is_none(), "an operator's template may depend on a value in any way");
}
