//! Random merchants: whatever happens to them, all books agree.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::*;

/// What a transaction does to the remaining amount, by its documented meaning.
fn effect(transaction: &Value, kinds: &HashMap<&str, &str>) -> i64 {
    let total = transaction["details"]["total_amount"].as_i64().unwrap();
    match transaction["type"].as_str().unwrap() {
        "payout" => total,
        "payment" => -total,
        "reversal" => match kinds[transaction["details"]["reversed_transaction"].as_str().unwrap()]
        {
            "payment" => total,
            "payout" => -total,
            other => panic!("a reversal of a {other}"),
        },
        other => panic!("a {other}"),
    }
}

fn expect_books_agree(simulator: &Simulator, account: &str) {
    let ledger = ExpectedLedger::of(simulator, account);
    let transactions = simulator.transactions(account);
    let kinds: HashMap<&str, &str> = transactions
        .iter()
        .map(|transaction| {
            (transaction["id"].as_str().unwrap(), transaction["type"].as_str().unwrap())
        })
        .collect();
    let mut left: BTreeMap<&str, i64> = BTreeMap::new();
    for transaction in &transactions {
        let details = &transaction["details"];
        let part = |name: &str| details[name].as_i64().unwrap();
        assert_eq!(part("advance_amount") + part("fee_amount"), part("total_amount"));
        assert!(part("advance_amount") >= 0 && part("fee_amount") >= 0 && part("total_amount") > 0);
        let left = left.entry(transaction["financing_offer"].as_str().unwrap()).or_default();
        *left += effect(transaction, &kinds);
        assert!(*left >= 0, "more was repaid than was due: {transaction}");
    }
    for financing in &ledger.financings {
        let offer = simulator.offer(&financing.offer).unwrap();
        let status = match financing.phase {
            FinancingPhase::Active => "paid_out",
            FinancingPhase::FullyRepaid => "fully_repaid",
            FinancingPhase::Canceled => "canceled",
        };
        assert_eq!(offer["status"], status);
        // No transaction reports the discount of a refill.
        let untold = financing.remaining_minor + financing.discounted_minor;
        let is_canceled = financing.phase == FinancingPhase::Canceled;
        let expected = if is_canceled { financing.remaining_minor } else { untold };
        assert_eq!(left.remove(financing.offer.as_str()), Some(expected));
        assert_eq!(financing.phase == FinancingPhase::Active, financing.remaining_minor > 0);
        if financing.phase != FinancingPhase::Canceled {
            let due = financing.advance_minor + financing.fee_minor;
            assert_eq!(due, financing.paid_minor - financing.reversed_minor + untold);
        }
        parts_add_up(&transactions, financing);
    }
    assert!(left.is_empty(), "financings without an advance: {left:?}");
    summary_agrees(simulator, account, &ledger);
    balance_agrees(simulator, account, &ledger);
}

/// A financing that is paid back was paid back in both of its parts.
fn parts_add_up(transactions: &[Value], financing: &ExpectedFinancing) {
    let (mut advance, mut fee) = (0, 0);
    for transaction in
        transactions.iter().filter(|one| one["financing_offer"] == financing.offer.as_str())
    {
        let sign = match transaction["type"].as_str().unwrap() {
            "payment" => 1,
            "reversal"
                if transaction["details"]["reversed_transaction"]
                    != first_of(transactions, financing) =>
            {
                -1
            }
            _ => 0,
        };
        advance += sign * transaction["details"]["advance_amount"].as_i64().unwrap();
        fee += sign * transaction["details"]["fee_amount"].as_i64().unwrap();
    }
    match financing.phase {
        FinancingPhase::FullyRepaid => {
            let fee_due = financing.fee_minor - financing.discounted_minor;
            assert_eq!((advance, fee), (financing.advance_minor, fee_due));
        }
        FinancingPhase::Canceled => assert_eq!((advance, fee), (0, 0)),
        FinancingPhase::Active => {
            assert!(advance <= financing.advance_minor && fee <= financing.fee_minor);
        }
    }
}

/// The payout that a financing began with.
fn first_of(transactions: &[Value], financing: &ExpectedFinancing) -> Value {
    let is_its = |one: &&Value| one["financing_offer"] == financing.offer.as_str();
    transactions.iter().find(is_its).unwrap()["id"].clone()
}

fn summary_agrees(simulator: &Simulator, account: &str, ledger: &ExpectedLedger) {
    let summary = simulator.summary(account);
    let newest =
        ledger.financings.iter().rfind(|financing| financing.phase == FinancingPhase::Active);
    match newest {
        None => assert!(summary["details"]["advance_paid_out_at"].is_null(), "{summary}"),
        Some(financing) => {
            let details = &summary["details"];
            assert_eq!(summary["financing_offer"], financing.offer);
            assert_eq!(details["remaining_amount"], financing.remaining_minor);
            assert_eq!(details["paid_amount"], financing.paid_minor - financing.reversed_minor);
        }
    }
}

fn balance_agrees(simulator: &Simulator, account: &str, ledger: &ExpectedLedger) {
    let moves = simulator.balance_transactions(account);
    let net: i64 = moves.iter().map(|moved| moved["net"].as_i64().unwrap()).sum();
    let worth = |part: &ExpectedPayout| {
        part.sold_minor + part.advanced_minor - part.refunded_minor - part.paid_down_minor
    };
    assert_eq!(net, worth(&ledger.unpaid_sales) + worth(&ledger.unpaid_financing));
    for payout in &ledger.payouts {
        assert_eq!(payout.amount_minor, worth(payout));
        let is_an_advance = payout.advanced_minor > 0;
        assert!(
            !is_an_advance || payout.sold_minor == 0,
            "an advance mixes with sales: {payout:?}"
        );
    }
    let sources: HashSet<&str> =
        moves.iter().map(|moved| moved["source"].as_str().unwrap()).collect();
    let from_balance: i64 =
        ledger.financings.iter().map(|financing| financing.from_balance_minor).sum();
    let paid_down = |category: &str| -> i64 {
        let fits = |moved: &&Value| moved["reporting_category"] == category;
        moves.iter().filter(fits).map(|moved| moved["amount"].as_i64().unwrap()).sum()
    };
    assert_eq!(
        -from_balance,
        paid_down("financing_paydown") + paid_down("financing_paydown_reversal")
    );
    for transaction in simulator.transactions(account) {
        if let Some(source) = transaction["legacy_balance_transaction_source"].as_str() {
            assert!(sources.contains(source), "{transaction}");
        }
    }
}

fn expect_each_transaction_announced_once(simulator: &Simulator, account: &str) {
    let is_one = |event: &Value| {
        event["type"] == "capital.financing_transaction.created"
            && event["data"]["object"]["account"] == account
    };
    let announced: Vec<Value> = simulator
        .events()
        .iter()
        .filter(|event| is_one(event))
        .map(|event| event["data"]["object"].clone())
        .collect();
    assert_eq!(announced, simulator.transactions(account));
}

/// Runs the merchants of these seeds, twenty on each simulator, and compares the books on the way.
async fn run(seeds: std::ops::Range<u64>) {
    let mut reasons: HashSet<String> = HashSet::new();
    let (mut side_by_side, mut phases) = (0, HashSet::new());
    let seeds: Vec<u64> = seeds.collect();
    for some in seeds.chunks(20) {
        let (simulator, time) = start().await;
        for seed in some {
            let mut merchant = RandomMerchant::new(&simulator, &time, *seed);
            for _ in 0..3 {
                merchant.run(60);
                expect_books_agree(&simulator, merchant.account());
            }
            expect_each_transaction_announced_once(&simulator, merchant.account());
            simulator.clear_events();
            let ledger = ExpectedLedger::of(&simulator, merchant.account());
            let under_way =
                ledger.financings.iter().filter(|one| one.phase == FinancingPhase::Active);
            side_by_side += usize::from(under_way.count() > 1);
            phases
                .extend(ledger.financings.iter().map(|financing| format!("{:?}", financing.phase)));
            let transactions = simulator.transactions(merchant.account());
            reasons.extend(
                transactions
                    .iter()
                    .map(|one| one["details"]["reason"].as_str().unwrap_or("payout").to_owned()),
            );
        }
        simulator.stop();
    }
    assert_eq!(
        (reasons.len(), phases.len()),
        (9, 3),
        "not everything happened: {reasons:?}, {phases:?}"
    );
    assert!(side_by_side > 0, "no merchant had two financings at once");
}

#[tokio::test]
async fn whatever_happens_to_a_merchant_all_books_agree() {
    run(0..200).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn whatever_happens_to_thousands_of_merchants_all_books_agree() {
    run(200..5_000).await;
}

#[tokio::test]
async fn the_same_seed_makes_the_same_life() {
    let mut ledgers = Vec::new();
    for _ in 0..2 {
        let (simulator, time) = start().await;
        let mut merchant = RandomMerchant::new(&simulator, &time, 7);
        merchant.run(100);
        ledgers.push(ExpectedLedger::of(&simulator, merchant.account()));
    }
    assert_eq!(ledgers[0], ledgers[1]);
}
