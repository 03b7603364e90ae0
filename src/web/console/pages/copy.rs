//! The wording of emails and of the Capital section: what is approved where, previews with the
//! findings of the lint, and the acts that record and withdraw approvals.

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::ConsolePage;
use crate::database::with_timeout;
use crate::letters::Kind;
use crate::letters::wording::Disclaimer;
use crate::letters::wording::approvals::store::{self, RecordedApproval};
use crate::letters::wording::approvals::{
    Approval, ApprovalFilter, CAPITAL_SECTION, CopyId, Withdrawal,
};
use crate::letters::wording::samples::{self, Sample, SampleFinding};
use crate::operators::acts;
use crate::web::console::access::{Act, Visitor};
use crate::web::console::problem::Problem;
use crate::web::console::render::{PageHead, console_template, done};
use crate::web::console::{ConsoleState, Wordings};
use crate::web::letter_view::{
    self, FrameLinks, LetterSources, LetterView, ParsedEmail, ViewQuery,
};
use crate::web::portal;

pub(super) const PAGE: ConsolePage = ConsolePage {
    path: "/console/copy",
    label: Some("Copy"),
    templates: &[console_template!("copy.html"), console_template!("copy_preview.html")],
};

const PREVIEW: &str = "/console/copy/preview";
const PREVIEW_FRAME: &str = "/console/copy/preview.html";

/// A wording to show: `financing` as in the preview's list, empty for its first.
#[derive(Deserialize)]
struct WordingQuery {
    variant: String,
    language: String,
    kind: String,
    #[serde(default)]
    financing: String,
}

#[derive(Serialize)]
struct CopyView {
    wordings: Vec<DisclaimerCopies>,
    markets: Vec<String>,
    has_samples: bool,
}

/// The wordings with one disclaimer.
#[derive(Serialize)]
struct DisclaimerCopies {
    variant: String,
    language: &'static str,
    market: Option<String>,
    is_sample: bool,
    copies: Vec<CopyRow>,
}

#[derive(Serialize)]
struct CopyRow {
    kind: &'static str,
    hash: String,
    /// The page of a preview; `None` for the Capital section.
    preview: Option<String>,
    approvals: Vec<RecordedApproval>,
}

#[derive(Serialize)]
struct PreviewView<'a> {
    name: String,
    subject: &'a str,
    preview: &'a str,
    letter: LetterView,
    cases: Vec<PreviewCase>,
    findings: Vec<SampleFinding>,
}

#[derive(Serialize)]
struct PreviewCase {
    name: String,
    url: String,
    is_current: bool,
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route(PAGE.path, get(show))
        .route(PREVIEW, get(show_preview))
        .route(PREVIEW_FRAME, get(frame))
        .route("/console/copy/approve", post(approve))
        .route("/console/copy/withdraw", post(withdraw))
}

async fn show(State(state): State<ConsoleState>, visitor: Visitor) -> Result<Response, Problem> {
    let wordings = &state.console.wordings;
    let every = ApprovalFilter::default();
    let approvals = with_timeout(store::list(&state.console.db, &every)).await?;
    let rows: Vec<DisclaimerCopies> = wordings
        .disclaimers
        .iter()
        .map(|disclaimer| DisclaimerCopies {
            variant: disclaimer.variant.clone(),
            language: disclaimer.language.code(),
            market: disclaimer.market.clone(),
            is_sample: disclaimer.is_sample,
            copies: copies(wordings, disclaimer).map(|copy| row(copy, &approvals)).collect(),
        })
        .collect();
    let own = wordings.disclaimers.iter().filter(|disclaimer| !disclaimer.is_sample);
    let mut markets: Vec<String> = own.filter_map(|own| own.market.clone()).collect();
    markets.sort();
    markets.dedup();
    let view =
        CopyView { has_samples: rows.iter().any(|row| row.is_sample), wordings: rows, markets };
    let command = "capital-courier email approvals list";
    let head = PageHead { template: "copy.html", title: "Copy", command };
    state.page(&visitor, &head, view)
}

async fn show_preview(
    State(state): State<ConsoleState>,
    visitor: Visitor,
    Query(query): Query<WordingQuery>,
    Query(view): Query<ViewQuery>,
) -> Result<Response, Problem> {
    let wordings = &state.console.wordings;
    let samples = samples_of(wordings, &query)?;
    let chosen = chosen(&samples, &query)?;
    let email = ParsedEmail {
        headers: Vec::new(),
        text: Some(chosen.letter.text.clone()),
        html: Some(chosen.letter.html.clone()),
    };
    let sources = LetterSources {
        page: PREVIEW.to_owned(),
        frame: PREVIEW_FRAME.to_owned(),
        query: fields(&query, &case(chosen)),
        links: FrameLinks::Inert,
        raw: None,
    };
    let cases = samples.iter().map(|sample| PreviewCase {
        name: case(sample),
        url: link(PREVIEW, &query, &case(sample)),
        is_current: std::ptr::eq(sample, chosen),
    });
    let view = PreviewView {
        name: chosen.name(),
        subject: &chosen.letter.subject,
        preview: &chosen.letter.preview,
        letter: LetterView::new(&email, &view, &sources),
        cases: cases.collect(),
        findings: samples::check(&wordings.writer, &wordings.rules, std::slice::from_ref(chosen)),
    };
    let command = "capital-courier email preview; capital-courier email check";
    let head = PageHead { template: "copy_preview.html", title: "Preview", command };
    state.page(&visitor, &head, view)
}

/// The letter alone, for the frame of the preview.
async fn frame(
    State(state): State<ConsoleState>,
    _visitor: Visitor,
    Query(query): Query<WordingQuery>,
    Query(view): Query<ViewQuery>,
) -> Result<Response, Problem> {
    let wordings = &state.console.wordings;
    let samples = samples_of(wordings, &query)?;
    let html = &chosen(&samples, &query)?.letter.html;
    let images = wordings.writer.settings().brand.logos();
    Ok(letter_view::frame(html, &view.options(FrameLinks::Inert, images)))
}

async fn approve(State(state): State<ConsoleState>, act: Act) -> Result<Response, Problem> {
    let (market, kind) = (act.fields.text("market").to_uppercase(), act.fields.text("kind"));
    let reference = act.fields.text("reference");
    if reference.is_empty() || reference.len() > 200 {
        return Err(Problem::Invalid("Enter Stripe's reference of the approval.".to_owned()));
    }
    let wordings = &state.console.wordings;
    let of_market = wordings
        .disclaimers
        .iter()
        .filter(|disclaimer| !disclaimer.is_sample && disclaimer.market.as_ref() == Some(&market));
    let all = of_market.flat_map(|disclaimer| copies(wordings, disclaimer));
    let chosen: Vec<CopyId> = all.filter(|copy| kind.is_empty() || copy.kind == kind).collect();
    if chosen.is_empty() {
        let why = format!("No wording of yours belongs to the market {market:?}.");
        return Err(Problem::Refused(why));
    }
    let approved_by = &act.visitor.name;
    let approval = Approval { market: &market, reference, approved_by };
    let by = act.instruction();
    let retried = acts::approve(&state.console.db, &by, &chosen, &approval).await?;
    let said = format!(
        "{} wordings are approved for {market}; {retried} held emails are tried again",
        chosen.len()
    );
    Ok(done(&act.visitor, PAGE.path, &said))
}

async fn withdraw(State(state): State<ConsoleState>, act: Act) -> Result<Response, Problem> {
    let (hash, market) = (act.fields.text("hash"), act.fields.text("market"));
    if hash.is_empty() || market.is_empty() {
        return Err(Problem::Invalid("Choose an approval.".to_owned()));
    }
    let filter = ApprovalFilter {
        hash_prefix: Some(hash),
        reference: None,
        market: Some(market),
        is_in_force: true,
    };
    let withdrawal = Withdrawal { reason: act.reason.as_str(), withdrawn_by: &act.visitor.name };
    let by = act.instruction();
    acts::withdraw_approvals(&state.console.db, &by, &filter, &withdrawal).await?;
    let said = format!("The approval for {market} is withdrawn: emails with this wording are held");
    Ok(done(&act.visitor, PAGE.path, &said))
}

/// Every wording with this disclaimer.
fn copies<'a>(
    wordings: &'a Wordings,
    disclaimer: &'a Disclaimer,
) -> impl Iterator<Item = CopyId> + 'a {
    let settings = wordings.writer.settings();
    let emails = Kind::ALL.into_iter().map(|kind| wordings.writer.copy_id(kind, disclaimer));
    let section = portal::copy_id(&settings.brand.program_name, &settings.contacts, disclaimer);
    emails.chain([section])
}

fn row(copy: CopyId, approvals: &[RecordedApproval]) -> CopyRow {
    let query = WordingQuery {
        variant: copy.disclaimer_variant,
        language: copy.language.code().to_owned(),
        kind: copy.kind.to_owned(),
        financing: String::new(),
    };
    let of_it =
        approvals.iter().filter(|of| of.copy_hash == copy.hash && of.withdrawn_at.is_none());
    CopyRow {
        preview: (copy.kind != CAPITAL_SECTION).then(|| link(PREVIEW, &query, "")),
        approvals: of_it.cloned().collect(),
        kind: copy.kind,
        hash: copy.hash,
    }
}

fn samples_of<'a>(
    wordings: &'a Wordings,
    query: &WordingQuery,
) -> Result<Vec<Sample<'a>>, Problem> {
    let unknown = || Problem::NotFound("This wording".to_owned());
    let kind: Kind = query.kind.parse().map_err(|_| unknown())?;
    let disclaimer = wordings.disclaimers.iter().find(|disclaimer| {
        disclaimer.variant == query.variant && disclaimer.language.code() == query.language
    });
    let disclaimer = disclaimer.ok_or_else(unknown)?;
    let link = wordings.unsubscribe_link.as_ref();
    samples::write_kind(&wordings.writer, disclaimer, kind, link)
        .map_err(|error| Problem::Refused(format!("The template cannot be used: {error}.")))
}

fn chosen<'a, 'b>(
    samples: &'a [Sample<'b>],
    query: &WordingQuery,
) -> Result<&'a Sample<'b>, Problem> {
    let asked = samples.iter().find(|sample| case(sample) == query.financing);
    asked.or(samples.first()).ok_or_else(|| Problem::NotFound("This wording".to_owned()))
}

/// What tells the samples of a kind apart: the type of financing, and whether it is a refill.
fn case(sample: &Sample<'_>) -> String {
    let financing = sample.facts.financing_type.as_str();
    let kind = sample.kind();
    if kind.ends_with("of a refill") {
        format!("{financing}, refill")
    } else {
        financing.to_owned()
    }
}

fn link(path: &str, query: &WordingQuery, financing: &str) -> String {
    format!("{path}?{}", fields(query, financing))
}

fn fields(query: &WordingQuery, financing: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("variant", &query.variant)
        .append_pair("language", &query.language)
        .append_pair("kind", &query.kind)
        .append_pair("financing", financing)
        .finish()
}
