//! What somebody says about an opt-out, in a line.

use std::str::FromStr;

use crate::format::text;

/// A line of text about an opt-out: short, and without anything that cannot be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(String);

/// Not a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a note is one line of at most {MAX_CHARACTERS} characters")]
pub struct NoteError;

/// A sentence or two: whoever wants to keep more keeps it elsewhere, and its number here.
const MAX_CHARACTERS: usize = 500;

impl Note {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(given: &str) -> Result<Self, NoteError> {
        let given = given.trim();
        // A control character is a mistake; what is invisible may have come along with a copied text.
        let text = text::plain(given);
        let is_short = (1..=MAX_CHARACTERS).contains(&text.chars().count());
        if is_short && !given.contains(char::is_control) { Ok(Self(text)) } else { Err(NoteError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_line_and_no_novel() {
        assert_eq!("  asked by phone ".parse::<Note>().unwrap().as_str(), "asked by phone");
        for bad in ["", "  ", "two\nlines", "a\0b", &"é".repeat(501)] {
            assert_eq!(bad.parse::<Note>(), Err(NoteError), "{bad:?}");
        }
        assert!("é".repeat(500).parse::<Note>().is_ok());
        let note = "by \u{202e}phone\u{200b}\u{2066}".parse::<Note>().unwrap();
        assert_eq!(note.as_str(), "by phone");
        assert!("\u{2800}\u{115f}".parse::<Note>().is_err());
    }
}
