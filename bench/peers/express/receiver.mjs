// The usual receiver of Stripe's webhooks: Express, Stripe's SDK on the raw body, one insert for each
// event, and 200 after its commit. scripts/bench installs its packages and starts it.

import express from 'express';
import pg from 'pg';
import Stripe from 'stripe';

const { DATABASE_URL, PORT, STRIPE_WEBHOOK_SECRET } = process.env;
const stripe = new Stripe('sk_test_benchmark');
// As many connections as the service has.
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 20 });
await pool.query(`
  create table if not exists express_events (
    event_id text primary key, event_type text not null, body bytea not null,
    received_at timestamptz not null default now()
  )`);

const app = express();
app.disable('x-powered-by');
app.post('/webhooks/stripe', express.raw({ type: '*/*' }), async (request, response) => {
  let event;
  try {
    event = stripe.webhooks.constructEvent(
      request.body,
      request.headers['stripe-signature'],
      STRIPE_WEBHOOK_SECRET,
    );
  } catch {
    response.sendStatus(400);
    return;
  }
  await pool.query(
    `insert into express_events (event_id, event_type, body) values ($1, $2, $3)
     on conflict do nothing`,
    [event.id, event.type, request.body],
  );
  response.json({ received: true });
});
app.listen(Number(PORT), '127.0.0.1');
