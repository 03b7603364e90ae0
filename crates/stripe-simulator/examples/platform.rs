//! A platform tries its Capital integration: `cargo run -p stripe-simulator --example platform`.

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use stripe_simulator::{
    Action, Fault, FaultKind, NewAccount, NewOffer, Options, Simulator, TimeSource, WebhookEndpoint,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let simulator = Simulator::start(Options {
        listen: "127.0.0.1:12111".parse()?,
        api_key: "sk_test_platform".to_owned(),
        time: TimeSource::system(),
    })
    .await?;
    let webhook = "http://127.0.0.1:8080/webhooks/stripe".parse()?;
    simulator.register_webhook(WebhookEndpoint::new(webhook, "whsec_platform"));

    // The platform's webhook gets `capital.financing_offer.created`, emails the merchant, and calls
    // `mark_delivered`. Its first call fails.
    simulator.inject(Fault {
        method: "POST",
        path: "mark_delivered",
        times: 1,
        kind: FaultKind::DisconnectAfter,
    });
    let account = simulator.add_account(&NewAccount {
        name: Some("Jenny's Bakery".to_owned()),
        email: Some("jenny@bakery.example".to_owned()),
        country: Some("US".to_owned()),
    });
    let offer = simulator.create_offer(&account, &NewOffer::default());
    tokio::time::sleep(Duration::from_secs(5)).await;

    // Without a platform Stripe tells the merchant itself. Then the merchant applies.
    simulator.deliver(&offer);
    simulator.perform(Action::Apply, &offer)?;
    simulator.perform(Action::Approve, &offer)?;
    for event in simulator.events() {
        println!("{}", event["type"]);
    }
    println!("{:#}", simulator.summary(&account));
    Ok(())
}
