//! Shows an email from its bytes: as HTML at the width of a phone or a desktop, light or dark, with
//! and without images; as text; its header; raw. The console and the demo's mailbox use it.
//!
//! A page includes `letter_view.html` with a [`LetterView`] as the variable `letter`, appends
//! `letter_view.css`, which uses the colors of `console.css`, to its style sheet, and serves
//! `frame` for the HTML. The choices are links, so nothing here needs a script.
//!
//! The HTML of an email is not trusted. It stands in a frame without scripts, forms, navigation of
//! the page around it, or an origin of its own (`sandbox`, in the attribute and in the response).
//! The frame loads nothing: no style sheets, no fonts, and no images except those that the email
//! contains as `data:` and those that the caller allows by their exact URL
//! ([`FrameOptions::images`]), which come from the settings and never from the email: the logo of
//! the brand. Where an image is not loaded, its alternative text stands, as in mail programs that
//! ask before they load images. "Images off" shows the same for every image.
//!
//! | file | owns |
//! |---|---|
//! | `email` | what is read from the bytes |
//! | `frame` | the document in the frame, its color scheme and its policy |
//! | `choice` | what the address of the page selects, and the links to the other choices |

mod choice;
mod email;
mod frame;

pub use choice::{LetterSources, LetterView, ViewQuery};
pub use email::ParsedEmail;
pub use frame::{FrameLinks, FrameOptions, ImageLoading, Scheme, frame, with_scheme};

/// Name and source of the template.
pub const TEMPLATE: (&str, &str) = (
    "letter_view.html",
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/letter_view/letter_view.html")),
);
