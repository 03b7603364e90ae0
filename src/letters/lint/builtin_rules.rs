//! The rules that are the same in all languages, and are not about words: `builtin_rules.toml`,
//! compiled in.

use std::sync::LazyLock;

use serde::Deserialize;

use super::rules::Rule;

#[derive(Deserialize)]
struct File {
    rule: Vec<Rule>,
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let file: Result<File, _> = toml::from_str(include_str!("builtin_rules.toml"));
    file.expect("the file is a constant, and tests read it").rule
});

/// The codes that no other rule may have.
pub(super) static CODES: LazyLock<Vec<&str>> =
    LazyLock::new(|| RULES.iter().map(|rule| rule.code.as_str()).collect());

/// The rule with this code.
pub(super) fn builtin(code: &str) -> &'static Rule {
    let rule = RULES.iter().find(|rule| rule.code == code);
    rule.expect("the codes in this folder are in the file, and tests break each rule")
}
