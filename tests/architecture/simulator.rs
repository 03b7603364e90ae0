//! The simulator can be used without the service, and its imports go down only.

use std::path::Path;

use super::scan::{mentions, module_of};
use super::sources;

/// The modules of `crates/stripe-simulator/src`, from the bottom. A module may name those of lower
/// layers, and none of its own.
const LAYERS: [&[&str]; 10] = [
    &["error", "feed", "http", "money", "time"],
    &["webhook"],
    &["state"],
    &["engine"],
    &["financing"],
    &["lifecycle"],
    &["api", "control", "pages", "snapshot"],
    &["server"],
    &["simulator"],
    &["lib"],
];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// All that is wrong with a file of the simulator, one line for each.
fn offences(path: &str, source: &str) -> Vec<String> {
    let module = module_of(path);
    let Some(own) = layer_of(&module[0]) else {
        return vec![format!("{path}: `{}` is in no layer", module[0])];
    };
    let mut found = Vec::new();
    for mention in mentions(&module, source) {
        let problem = match mention.path.as_slice() {
            [root, ..] if root == "capital_courier" => Some("names the service".to_owned()),
            [root, target, ..] if root == "crate" && *target != module[0] => layer_of(target)
                .filter(|layer| *layer >= own)
                .map(|_| format!("`{}` must not know `{target}`", module[0])),
            _ => None,
        };
        found.extend(problem.map(|problem| format!("{path}:{}: {problem}", mention.line)));
    }
    found
}

#[test]
fn the_simulator_imports_downwards_and_nothing_of_the_service() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/stripe-simulator");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("capital-courier"), "the simulator depends on the service");
    let files = sources(&root.join("src"));
    assert!(files.len() > 30, "only {} files were found", files.len());
    let found: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let path = file.strip_prefix(root.join("src")).unwrap().to_str().unwrap();
            offences(path, &std::fs::read_to_string(file).unwrap())
        })
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn an_import_upwards_is_found_with_its_line() {
    for (path, line) in [
        ("state/offer.rs", "use crate::engine::Engine;"),
        ("http/list.rs", "fn f() { crate::state::State::new(); }"),
        ("pages/dashboard.rs", "use crate::control;"),
        ("financing/charge.rs", "use capital_courier::format::money::Money;"),
    ] {
        let found = offences(path, &format!("//! Head.\n{line}\n"));
        assert_eq!(found.len(), 1, "{path}, {line}: {found:?}");
        assert!(found[0].starts_with(&format!("{path}:2: ")), "{found:?}");
    }
    let fine = "//! Head.\nuse crate::state::State;\nuse super::render;\n";
    assert_eq!(offences("pages/dashboard.rs", fine), Vec::<String>::new());
}
