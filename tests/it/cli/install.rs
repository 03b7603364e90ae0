//! What a package installs beside the binary, and the JSON of commands that need no database.

use std::collections::HashMap;

use serde_json::Value;

use crate::support::process::command;

async fn printed(arguments: &[&str]) -> String {
    let output = command(arguments, &HashMap::new()).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn completions_and_the_manual_page_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]).await;
        assert!(script.contains("letter") && script.contains("approvals"), "{shell}");
    }
    let page = printed(&["man"]).await;
    assert!(page.starts_with(".ie") || page.contains(".TH capital-courier 1"), "{page}");
    for part in ["CAPITAL-COURIER OFFER RESEND", "CAPITAL-COURIER EMAIL APPROVALS WITHDRAW"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("COURIER OFFER HELP"));
    let odd = command(&["completions", "tcsh"], &HashMap::new()).output().await.unwrap();
    assert_eq!(odd.status.code(), Some(64));
}

#[tokio::test]
async fn the_settings_are_printed_as_json_too() {
    let settings: Value = serde_json::from_str(&printed(&["settings", "--json"]).await).unwrap();
    assert_eq!(settings["webhook"]["tolerance_seconds"], 300);
}
