//! Whether what must be said is seen: large enough, with enough contrast, and not hidden; on a desk and on a telephone, in the light and
//! in the dark, and where the mail program throws style sheets away.

use std::ops::Range;

use super::css::{self, Surroundings};
use super::html::Page;
use super::ours::{self, Ours};
use super::style::{self, Style};
use super::{Finding, Letter, Part};

/// Smaller print is hard to read on a telephone, whatever the screen.
const SMALLEST_PX: f32 = 12.0;
/// WCAG 2.2, level AA, for text of usual size.
const LEAST_CONTRAST: f32 = 4.5;

const PLACES: [Surroundings; 5] = [
    Surroundings { name: "", sheets: true, width: 1024.0, dark: false },
    Surroundings { name: " on a narrow screen", sheets: true, width: 375.0, dark: false },
    Surroundings {
        name: " where style sheets are thrown away",
        sheets: false,
        width: 1024.0,
        dark: false,
    },
    Surroundings { name: " in the dark", sheets: true, width: 1024.0, dark: true },
    Surroundings {
        name: " in the dark, on a narrow screen",
        sheets: true,
        width: 375.0,
        dark: true,
    },
];

/// How a page looks in all places that it may be read in.
pub(super) struct Looks(Vec<(Surroundings, Vec<Style>)>);

impl Looks {
    /// Looks at a page. One that knows no dark is left light, or turned around by the mail program, which nobody can foresee.
    pub(super) fn of(page: &Page) -> Self {
        let rules = css::read(&page.sheets);
        let places = PLACES.into_iter().filter(|place| !place.dark || style::knows_the_dark(page));
        Self(places.map(|place| (place, style::styles(page, &rules, place))).collect())
    }

    /// Is this element hidden on a desk, in the light? A preview text is.
    pub(super) fn is_hidden(&self, element: usize) -> bool {
        self.0
            .first()
            .and_then(|(_, styles)| styles.get(element))
            .is_some_and(|style| style.hidden().is_some())
    }
}

/// What is wrong with how this looks. Said in several places, it is enough that one of them is well seen.
pub(super) fn check(letter: &Letter<'_>, what: &str, spans: &[Range<usize>]) -> Vec<Finding> {
    let mut judged: Vec<Vec<(Ours, String)>> =
        spans.iter().map(|span| problems(&letter.page, &letter.looks, span)).collect();
    judged.sort_by_key(Vec::len);
    let best = judged.into_iter().next().unwrap_or_default();
    best.into_iter()
        .map(|(rule, problem)| rule.found(Part::Html, format!("{what}: {problem}")))
        .collect()
}

/// Each kind of problem once, in the first place that has it.
fn problems(page: &Page, looks: &Looks, span: &Range<usize>) -> Vec<(Ours, String)> {
    let shown = page.pieces.iter().filter(|piece| {
        let (start, end) = (piece.range.start.max(span.start), piece.range.end.min(span.end));
        start < end && !page.text[start..end].trim().is_empty()
    });
    let elements: Vec<usize> = shown.map(|piece| piece.element).collect();
    let mut found: Vec<(Ours, String)> = Vec::new();
    for (place, styles) in &looks.0 {
        for style in elements.iter().filter_map(|element| styles.get(*element)) {
            for (rule, problem) in problems_of(style) {
                if !found.iter().any(|(known, _)| known.code == rule.code) {
                    found.push((rule, format!("{problem}{}", place.name)));
                }
            }
        }
    }
    found
}

fn problems_of(style: &Style) -> Vec<(Ours, String)> {
    if let Some(why) = style.hidden() {
        return vec![(ours::HIDDEN, why.to_owned())];
    }
    let contrast = style.contrast();
    let small =
        (style.font_px < SMALLEST_PX).then(|| (ours::SMALL, format!("{:.1}px", style.font_px)));
    let faint = if style.on_picture {
        Some((ours::ON_PICTURE, "a picture is behind it".to_owned()))
    } else {
        (contrast < LEAST_CONTRAST).then(|| (ours::FAINT, format!("a contrast of {contrast:.1}:1")))
    };
    small.into_iter().chain(faint).collect()
}
