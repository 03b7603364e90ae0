//! Limits the nesting of a letter's elements before it is parsed. mrml parses and renders
//! recursively, so a template with thousands of nested elements (a loop without end tags) would
//! overflow the stack.

/// Our own letters nest about 12 deep. At this depth mrml uses a small part of a thread's stack.
pub(super) const MAX_DEPTH: usize = 100;

/// Elements without an end tag, as mrml knows them.
const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
];

/// The byte offset of the first element nested deeper than [`MAX_DEPTH`].
pub(super) fn too_deep(mjml: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut place = 0;
    while let Some(found) = mjml[place..].find('<') {
        let begin = place + found;
        let tag = &mjml[begin..];
        let length = length_of(tag);
        if tag.starts_with("</") {
            depth = depth.saturating_sub(1);
        } else if tag[1..].starts_with(|c: char| c.is_ascii_alphabetic())
            && has_end_tag(&tag[..length])
        {
            depth += 1;
            if depth > MAX_DEPTH {
                return Some(begin);
            }
        }
        place = begin + length;
    }
    None
}

fn has_end_tag(tag: &str) -> bool {
    let name =
        tag[1..].split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap_or_default();
    !tag.ends_with("/>") && !VOID.iter().any(|void| void.eq_ignore_ascii_case(name))
}

/// The length of the tag or comment at the start of `tag`. A `>` inside quotes does not end it.
fn length_of(tag: &str) -> usize {
    if tag.starts_with("<!--") {
        return tag.find("-->").map_or(tag.len(), |end| end + "-->".len());
    }
    let mut quote = None;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at + 1,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            (None | Some(_), _) => {}
        }
    }
    tag.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_by_what_has_an_end_tag() {
        for (fine, times) in [
            ("<p></p>", 1000),
            ("<br><hr/><mj-spacer height='1' />", 1000),
            ("<!-- <p> -->", 1000),
            ("<a title=\"</p>\" href='>'></a>", 1000),
            ("<p>", MAX_DEPTH),
            ("a < b", 1000),
        ] {
            assert_eq!(too_deep(&fine.repeat(times)), None, "{fine}");
        }
        for deep in ["<p>", "<p class='/>'>", "<p><!-- </p> -->", "<p title='</p>'>"] {
            let nested = deep.repeat(MAX_DEPTH + 2);
            assert!(too_deep(&nested).is_some(), "{deep}");
        }
        assert_eq!(too_deep("<"), None);
        assert_eq!(too_deep("<é<"), None);
        assert_eq!(too_deep(&format!("{}<b>", "<i>".repeat(MAX_DEPTH))), Some(3 * MAX_DEPTH));
    }
}
