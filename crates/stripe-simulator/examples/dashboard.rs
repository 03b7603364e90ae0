//! Merchants in five countries at different points of their stories, for a look at the pages:
//!
//! ```sh
//! cargo run -p stripe-simulator --example dashboard
//! ```

#![allow(clippy::print_stdout, reason = "the address is the output")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stripe_simulator::{
    Action, ChargeKind, FeedEntry, NewAccount, NewCharge, NewOffer, Options, Simulator, TimeSource,
    Tone, Trouble,
};

/// Name, owner, country, financing type, advance in minor units.
const MERCHANTS: [(&str, &str, &str, &str, i64); 6] = [
    ("Jenny's Bakery", "Jenny", "US", "flex_loan", 1_250_000),
    ("Rocket Rides", "Oliver", "GB", "cash_advance", 4_800_000),
    ("Kite & Co", "Kai", "US", "cash_advance", 300_000),
    ("Fahrradhaus Nord", "Anke", "DE", "flex_loan", 2_200_000),
    ("Atelier Lumière", "Claire", "FR", "flex_loan", 900_000),
    ("Harbour Coffee", "Mia", "AU", "flex_loan", 1_600_000),
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let time = TimeSource::system();
    let options = Options {
        listen: "127.0.0.1:12111".parse()?,
        api_key: "sk_test_platform".to_owned(),
        time: time.clone(),
    };
    let simulator = Simulator::start(options).await?;
    simulator.set_troubles(vec![relay_down()]);
    let mut offers = Vec::new();
    for (name, owner, country, financing_type, advance_amount) in MERCHANTS {
        let account = simulator.add_account(&NewAccount {
            name: Some(name.to_owned()),
            email: Some(format!("{}@merchants.example", owner.to_lowercase())),
            country: Some(country.to_owned()),
        });
        simulator.set_owner(&account, owner, "Example");
        let offer = NewOffer {
            advance_amount,
            fee_amount: advance_amount / 10,
            financing_type: financing_type.to_owned(),
            ..NewOffer::default()
        };
        offers.push((simulator.create_offer(&account, &offer), account));
    }
    for (offer, account) in &offers[1..] {
        simulator.deliver(offer);
        simulator.feed().push(FeedEntry {
            at: time.now(),
            account: Some(account.clone()),
            text: "Letter sent".to_owned(),
            link: Some(("Open".to_owned(), "/mailbox/1".to_owned())),
            tone: Tone::Good,
        });
    }
    for (offer, _) in &offers[2..] {
        simulator.perform(Action::Apply, offer)?;
    }
    simulator.perform(Action::Reject, &offers[3].0)?;
    for (offer, account) in &offers[4..] {
        simulator.perform(Action::Approve, offer)?;
        let sale = NewCharge { amount: 2_000_000, kind: ChargeKind::Direct { application_fee: 0 } };
        simulator.charge(account, &sale)?;
    }
    simulator.perform(Action::Repay, &offers[4].0)?;
    simulator.create_next_offer(&offers[5].1)?;
    println!("{}_simulator/", simulator.base_url());
    std::future::pending().await
}

fn relay_down() -> Trouble {
    let is_down = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&is_down);
    Trouble {
        name: "relay_down".to_owned(),
        start: "Relay down".to_owned(),
        stop: Some("Relay is back".to_owned()),
        explains: "The mail server takes no letters until it is back".to_owned(),
        is_on: Arc::new(move || is_down.load(Ordering::SeqCst)),
        act: Arc::new(move |on| switch.store(on, Ordering::SeqCst)),
    }
}
