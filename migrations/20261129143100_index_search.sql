-- What an operator searches by, beside the primary keys.

-- `Request-Id` of Stripe.
create index deliveries_request on deliveries (response_request_id)
    where response_request_id is not null;
-- Addresses; of erased rows, their hashes.
create index delivery_attempts_recipient on delivery_attempts (lower(recipient));
create index contact_overrides_address on contact_overrides (lower(address));
