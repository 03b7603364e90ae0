//! `demo`, the first command that a new user runs.

use std::collections::HashMap;

use crate::support::process::command;

#[tokio::test]
async fn the_demo_delivers_its_offers_again_in_the_same_folder() {
    let dir = tempfile::tempdir().unwrap();
    for letters_in_total in [3, 6] {
        let path = dir.path().to_str().unwrap();
        // The embedded Postgres is unpacked into the user's cache.
        let home = std::env::var("HOME").unwrap_or_else(|_| path.to_owned());
        let env = HashMap::from([("HOME".to_owned(), home)]);
        let output = command(&["demo", "--once", "--dir", path], &env).output().await.unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{stdout}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(stdout.contains("3 of 3 offers delivered"), "{stdout}");
        for expected in ["/_simulator/", "/dashboard/acct_", "/summary", "Bearer courier_"] {
            assert!(stdout.contains(expected), "{expected} is missing in {stdout}");
        }
        assert_eq!(std::fs::read_dir(dir.path().join("mail")).unwrap().count(), letters_in_total);
    }
}
