-- Which words may go out: Stripe approves every change of an offer letter, market by market.

create table copy_approvals (
    -- Of everything that makes up the letter but the merchant's own data.
    copy_hash text not null,
    -- Two letters, as Stripe counts markets: `US`, `GB`, `DE`, …
    market text not null,
    -- Stripe's reference of the approval.
    reference text not null,
    -- Who entered it here.
    approved_by text not null,
    approved_at timestamptz not null,
    primary key (copy_hash, market)
);

alter table letters
    -- What the letter was written with: see `copy_approvals`.
    add column copy_hash text,
    -- Whose disclaimer stands in it.
    add column disclaimer_variant text;
