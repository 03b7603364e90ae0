-- By how much our sums differ from Stripe's summary: a difference that changes each time is events
-- on their way, one that stays is a transaction that is missing.

alter table financing_summaries
    -- Of what was paid out, what came back and what remains: ours less Stripe's, in minor units;
    -- null while they agree.
    add column difference text,
    -- Since when it has been this one.
    add column difference_since timestamptz;
