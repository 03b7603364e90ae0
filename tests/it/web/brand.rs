//! The platform's logo and color on the pages that a merchant sees.

use capital_courier::stripe::AccountId;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::browser::Browser;

const LOGO: &str = "https://cdn.rocket.example/logo.png";
const DARK: &str = "https://img.rocket.example/white.png";

/// The section and the unsubscribe page, each with the source list of its images.
async fn pages(app: &TestApp) -> [(String, String); 2] {
    let account: AccountId = "acct_1".parse().unwrap();
    let link = app.settings_with(&[]).email.links.unwrap().link(&account);
    let browser = Browser::signed_in(app, "acct_1").await;
    let pages = [browser.open("/capital").await, browser.open(link.path()).await];
    pages.map(|page| {
        let mut policy = page.header("content-security-policy").split("; ");
        let images = policy.find(|part| part.starts_with("img-src")).unwrap();
        (images.to_owned(), page.text)
    })
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn pages_have_the_logo_and_the_color_of_the_platform(db: PgPool) {
    let settings = [
        ("COURIER_BRAND__LOGO_URL", LOGO),
        ("COURIER_BRAND__LOGO_DARK_URL", DARK),
        ("COURIER_BRAND__ACCENT_COLOR", "#ffd400"),
    ];
    let app = TestApp::start_with(db, &settings).await;
    for (images, page) in pages(&app).await {
        assert_eq!(images, "img-src https://cdn.rocket.example https://img.rocket.example");
        let source = format!(r#"<source media="(prefers-color-scheme: dark)" srcset="{DARK}">"#);
        assert!(page.contains(&source), "{page}");
        assert!(page.contains(&format!(r#"src="{LOGO}" alt="Rocket Capital""#)), "{page}");
        assert!(page.contains("--accent: #ffd400; --on-accent: #000000"), "{page}");
        assert!(!page.contains(r#"class="logo plate""#), "{page}");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn a_logo_without_a_dark_one_stands_on_a_plate(db: PgPool) {
    let app = TestApp::start_with(db, &[("COURIER_BRAND__LOGO_URL", LOGO)]).await;
    for (_, page) in pages(&app).await {
        assert!(page.contains(r#"class="logo plate""#) && !page.contains("<source"), "{page}");
    }
    app.finish().await;
}

#[sqlx::test(migrator = "capital_courier::MIGRATOR")]
async fn without_a_logo_pages_load_no_image_and_have_the_name_as_text(db: PgPool) {
    let app = TestApp::start(db).await;
    for (images, page) in pages(&app).await {
        assert_eq!(images, "img-src 'none'");
        assert!(!page.contains("<img") && page.contains("Rocket Capital"), "{page}");
    }
    app.finish().await;
}
