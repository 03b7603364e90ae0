//! The first thing that a newcomer runs.

use std::collections::HashMap;

use crate::support::process::command;

#[tokio::test]
async fn the_demo_delivers_its_offers_and_ends_and_does_so_again_over_the_same_folder() {
    let dir = tempfile::tempdir().unwrap();
    for letters in [3, 6] {
        let path = dir.path().to_str().unwrap();
        // The embedded Postgres keeps what it unpacked in the user's cache.
        let home = std::env::var("HOME").unwrap_or_else(|_| path.to_owned());
        let env = HashMap::from([("HOME".to_owned(), home)]);
        let ended = command(&["demo", "--once", "--dir", path], &env).output().await.unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert_eq!(
            ended.status.code(),
            Some(0),
            "{said}\n{}",
            String::from_utf8_lossy(&ended.stderr)
        );
        assert!(said.contains("3 of 3 offers delivered"), "{said}");
        for shown in ["/_simulator/", "/dashboard/acct_", "/summary", "Bearer courier_"] {
            assert!(said.contains(shown), "{shown} is not in {said}");
        }
        assert_eq!(std::fs::read_dir(dir.path().join("mail")).unwrap().count(), letters);
    }
}
