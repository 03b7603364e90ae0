-- The console shows how many emails were sent and offers marked in each of the last hours.

create index letters_sent on letters (sent_at) where sent_at is not null;
create index deliveries_delivered on deliveries (delivered_at) where delivered_at is not null;
