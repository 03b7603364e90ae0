-- An offer can have more than one letter: the first word, and reminders after it.

alter table letters
    -- The place in the offer's cadence: 0 for the first word, which alone leads to Stripe being told; then the reminders.
    add column step smallint not null default 0,
    add constraint letters_step check (step >= 0),
    drop constraint letters_one_of_a_kind;

-- Two events for one change cannot make two letters. Until now an offer had one letter at most, so this holds.
alter table letters add constraint letters_one_at_a_step unique (offer_id, step);

-- Reminders look through the offers that nobody has applied for.
create index financing_offers_delivered on financing_offers (offer_id) where status = 'delivered';
