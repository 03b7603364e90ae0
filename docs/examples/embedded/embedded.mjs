// In the merchant's browser: Capital's three embedded components. It knows no API key: everything
// goes through the platform's backend (server.mjs), which knows who is signed in.

/** For Connect.js, which calls it again when a session has expired. */
async function fetchClientSecret() {
  const response = await fetch("/capital/session", { method: "POST" });
  if (!response.ok) throw new Error(`no Account Session: ${response.status}`);
  return (await response.json()).client_secret;
}

/** Shows what must stand beside the banner. */
function showCopy(copy) {
  const put = (parent, tag, text) => {
    const element = document.createElement(tag);
    element.textContent = text;
    document.getElementById(parent).append(element);
  };
  document.getElementById("offer").lang = copy.language;
  document.getElementById("refill").textContent = copy.refill ?? "";
  for (const { label, value } of copy.terms) {
    put("terms", "dt", label);
    put("terms", "dd", value);
  }
  document.getElementById("how_it_is_paid").textContent = copy.how_it_is_paid;
  document.getElementById("review").textContent = copy.review;
  for (const paragraph of copy.disclaimer.paragraphs) put("disclaimer", "p", paragraph);
}

// Connect.js may be loaded before this script or after it.
window.StripeConnect = window.StripeConnect ?? {};
await new Promise((resolve) => {
  if (window.StripeConnect.init) resolve();
  else window.StripeConnect.onLoad = resolve;
});
const connect = window.StripeConnect.init({ publishableKey: "pk_test_…", fetchClientSecret });

function add(tag, parent) {
  const element = connect.create(tag);
  document.getElementById(parent).append(element);
  return element;
}

add("capital-financing", "financing");
const response = await fetch("/capital/copy");
// Otherwise nothing is open, or it may not be shown: no banner and no application.
if (response.ok) {
  showCopy(await response.json());
  document.getElementById("offer").hidden = false;
  add("capital-financing-promotion", "banner").setLayout("banner");
  add("capital-financing-application", "application");
  // The merchant has the terms before them now.
  await fetch("/capital/delivered", { method: "POST" });
}
document.documentElement.dataset.ready = "true";
