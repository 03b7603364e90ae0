//! What resolves something, for a person in the console: the remedies name commands, and here each
//! becomes the button or the page that does the same.

use minijinja::Value;

use super::render::html_escape;

/// Commands as remedies name them, and the same in the console, as HTML.
const IN_CONSOLE: &[(&str, &str)] = &[
    ("account show", "the merchant's page"),
    ("address allow", "<strong>Allow the address again</strong> on the offer's page"),
    ("contact set", "<strong>Set the address</strong> on the merchant's page"),
    ("doctor", "<a href=\"/console/checks\">the checks</a>"),
    (
        "email approve",
        "<strong>Record an approval</strong> on <a href=\"/console/copy\">the page Copy</a>",
    ),
    ("endpoint check", "<a href=\"/console/checks\">the checks</a>"),
    ("event replay ID", "<strong>Replay</strong>"),
    ("event show ID", "the event's page"),
    ("job list", "<a href=\"/console/jobs?state=dead\">the dead jobs</a>"),
    ("job retry", "<strong>Mark again</strong>"),
    ("job retry ID", "<strong>Retry</strong>"),
    ("offer resend", "<strong>Send again</strong>"),
    ("offer show", "the offer's page"),
    ("offer withdraw", "<strong>Withdraw the email</strong> on the offer's page"),
    ("pause --list", "<a href=\"/console/overview#sending\">the overview</a>"),
    ("reconcile", "<code>capital-courier reconcile</code> on the command line"),
    ("resume", "<strong>Resume</strong> on <a href=\"/console/overview#sending\">the overview</a>"),
];

/// A remedy as HTML. What stands in backticks and is none of these commands stays code.
pub(super) fn in_console(remedy: &str) -> Value {
    let show = |(position, part): (usize, &str)| {
        if position % 2 == 0 {
            return html_escape(part);
        }
        let known = IN_CONSOLE.iter().find(|(command, _)| *command == part);
        known.map_or_else(
            || format!("<code>{}</code>", html_escape(part)),
            |(_, html)| (*html).to_owned(),
        )
    };
    let parts: Vec<String> = remedy.split('`').enumerate().map(show).collect();
    Value::from_safe_string(parts.concat())
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;
    use crate::letters::reason;
    use crate::operators::attention::{Kind, remedy_of};

    #[test]
    fn every_command_of_a_remedy_has_a_button_or_a_page() {
        let reasons = reason::ALL.iter().map(|reason| reason::remedy(reason));
        let kinds = Kind::VARIANTS.iter().map(|kind| remedy_of(*kind, ""));
        for remedy in reasons.chain(kinds) {
            for command in remedy.split('`').skip(1).step_by(2) {
                let is_known = IN_CONSOLE.iter().any(|(known, _)| *known == command);
                assert!(is_known, "the console has no words for {command}: {remedy}");
            }
        }
    }

    #[test]
    fn only_commands_become_markup() {
        let shown = in_console("<b>: `contact set`, then `rm <x>`").to_string();
        assert_eq!(
            shown,
            "&lt;b&gt;: <strong>Set the address</strong> on the merchant's page, then \
             <code>rm &lt;x&gt;</code>"
        );
    }
}
