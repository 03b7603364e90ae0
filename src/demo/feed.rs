//! What happens, as lines of the terminal and in the simulator's feed; and the switches there that
//! make things fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stripe_simulator::{FeedEntry, Simulator, Tone, Trouble};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::courier::Service;
use super::mail::{MailSummary, Sink};
use super::{Demo, RESTART_AFTER};
use crate::app::Role;
use crate::clock::Clock;

/// Adds each letter to the feed from now on, and what the mail server refuses.
pub(super) fn report_letters(demo: &Demo) {
    report_refusals(demo);
    let (simulator, clock) = (demo.simulator.clone(), demo.clock.clone());
    let mut letters = demo.sink.subscribe();
    demo.tasks.spawn(async move {
        while let Some(letter) = next(&mut letters).await {
            simulator.feed().push(arrived(&simulator, &clock, &letter));
        }
    });
}

/// Adds what the mail server refuses.
fn report_refusals(demo: &Demo) {
    let (feed, clock) = (demo.simulator.feed(), demo.clock.clone());
    let mut refusals = demo.sink.refusals();
    demo.tasks.spawn(async move {
        while let Some(text) = next(&mut refusals).await {
            feed.push(entry(&clock, text, Tone::Bad));
        }
    });
}

/// Shows each entry of the feed from now on as a line.
pub(super) fn follow(demo: &Demo) {
    let (simulator, screen) = (demo.simulator.clone(), Arc::clone(&demo.screen));
    let mut entries = simulator.feed().subscribe();
    demo.tasks.spawn(async move {
        while let Some(entry) = next(&mut entries).await {
            screen.line(&line(&simulator, &entry));
        }
    });
}

/// The next message; those that a burst has pushed out are skipped.
async fn next<T: Clone>(receiver: &mut Receiver<T>) -> Option<T> {
    loop {
        match receiver.recv().await {
            Ok(message) => return Some(message),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}

fn line(simulator: &Simulator, entry: &FeedEntry) -> String {
    let name = entry.account.as_deref().map(|id| name_of(simulator, id)).unwrap_or_default();
    format!("  {}  {name:<22} {}", entry.at.format("%b %d %H:%M:%S"), entry.text)
}

fn name_of(simulator: &Simulator, id: &str) -> String {
    let account = simulator.account(id).unwrap_or_default();
    account["business_profile"]["name"].as_str().unwrap_or(id).to_owned()
}

fn arrived(simulator: &Simulator, clock: &Clock, letter: &MailSummary) -> FeedEntry {
    let emails = simulator.account_emails();
    let account = emails.into_iter().find(|(_, email)| *email == letter.recipient);
    let text = format!("email to {}: {}", letter.recipient, letter.subject);
    FeedEntry {
        account: account.map(|(id, _)| id),
        link: Some(("Read it".to_owned(), format!("/mailbox/{}", letter.id))),
        ..entry(clock, text, Tone::Good)
    }
}

/// About no account in particular.
fn entry(clock: &Clock, text: String, tone: Tone) -> FeedEntry {
    FeedEntry { at: clock.now(), account: None, text, link: None, tone }
}

/// Offers the switches on the simulator's pages.
pub(super) fn offer_troubles(demo: &Demo) {
    let troubles = vec![relay_down(&demo.sink), bouncing(&demo.sink), kill(demo)];
    demo.simulator.set_troubles(troubles);
}

fn relay_down(sink: &Arc<Sink>) -> Trouble {
    let (asked, acted) = (Arc::clone(sink), Arc::clone(sink));
    Trouble {
        name: "relay_down".to_owned(),
        start: "Stop the mail server".to_owned(),
        stop: Some("Start the mail server".to_owned()),
        explains: "Emails wait, and leave when it is back. No offer is marked as delivered \
                   before its email has left."
            .to_owned(),
        is_on: Arc::new(move || asked.is_down()),
        act: Arc::new(move |on| acted.set_down(on)),
    }
}

fn bouncing(sink: &Arc<Sink>) -> Trouble {
    let (asked, acted) = (Arc::clone(sink), Arc::clone(sink));
    Trouble {
        name: "mail_bounces".to_owned(),
        start: "Refuse every address".to_owned(),
        stop: Some("Accept addresses again".to_owned()),
        explains: "The mail server answers 550 to every recipient. The email is not sent again; \
                   the console says which merchants need another address."
            .to_owned(),
        is_on: Arc::new(move || asked.is_bouncing()),
        act: Arc::new(move |on| acted.set_bouncing(on)),
    }
}

fn kill(demo: &Demo) -> Trouble {
    let is_down = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_down);
    let (feed, clock, service) =
        (demo.simulator.feed(), demo.clock.clone(), Arc::clone(&demo.service));
    let runtime = tokio::runtime::Handle::current();
    let act = move |_| {
        if !is_down.swap(true, Ordering::SeqCst) {
            let (feed, clock) = (feed.clone(), clock.clone());
            let (service, is_down) = (Arc::clone(&service), Arc::clone(&is_down));
            runtime.spawn(async move {
                let say = |text: &str, tone| feed.push(entry(&clock, text.to_owned(), tone));
                restart(&service, say).await;
                is_down.store(false, Ordering::SeqCst);
            });
        }
    };
    Trouble {
        name: "kill".to_owned(),
        start: "Kill the service".to_owned(),
        stop: None,
        explains:
            "As kill -9 does, wherever it is. It starts again some seconds later and goes on; \
                   Stripe sends the events again that came meanwhile. If it dies while the mail \
                   server's answer is on its way, the email is held for a person: whether it \
                   arrived is unknown."
                .to_owned(),
        is_on: Arc::new(move || asked.load(Ordering::SeqCst)),
        act: Arc::new(act),
    }
}

async fn restart(service: &Service, say: impl Fn(&str, Tone)) {
    service.kill().await;
    say("the service was killed", Tone::Bad);
    loop {
        tokio::time::sleep(RESTART_AFTER).await;
        match service.start(Role::Serve).await {
            Ok(_) => return say("the service is back", Tone::Good),
            Err(error) => say(&format!("the service did not start: {error:#}"), Tone::Bad),
        }
        service.kill().await;
    }
}
