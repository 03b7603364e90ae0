//! The settings in force and where each came from. Secrets are masked.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::ConsolePage;
use crate::web::console::access::Visitor;
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template};
use crate::web::console::{ConsoleState, SettingInForce};

pub(super) const PAGE: ConsolePage = ConsolePage {
    path: "/console/settings",
    label: Some("Settings"),
    templates: &[console_template!("settings.html")],
};

#[derive(Serialize)]
struct SettingsView<'a> {
    sections: Vec<SettingsSection<'a>>,
}

#[derive(Serialize)]
struct SettingsSection<'a> {
    name: &'a str,
    settings: &'a [SettingInForce],
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route(PAGE.path, get(show))
}

async fn show(State(state): State<ConsoleState>, visitor: Visitor) -> Result<Response, Problem> {
    fn section(setting: &SettingInForce) -> &str {
        setting.key.split('.').next().unwrap_or_default()
    }
    let all = &state.console.settings.in_force;
    let sections = all
        .chunk_by(|one, next| section(one) == section(next))
        .map(|settings| SettingsSection { name: section(&settings[0]), settings })
        .collect();
    let head = PageHead {
        template: "settings.html",
        title: "Settings",
        command: "capital-courier doctor",
    };
    state.page(&visitor, &head, SettingsView { sections })
}
