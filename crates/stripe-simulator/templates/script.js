// Keeps the page current: a form is sent without a reload, and whatever else changes is shown
// within a second. Without this file the forms lead back to the page, and a link refreshes it.
"use strict";

const REGIONS = ["now", "merchants", "said", "merchant", "feed"];
let version = document.body.dataset.version;

/** Replaces what is shown, and keeps the focus, typed amounts and opened details. */
function show(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  if (!page.getElementById("merchant")) return;
  const focused = document.activeElement?.id;
  const typed = [...document.querySelectorAll("input[type=number]")].map((input) => [input.id, input.value]);
  const opened = [...document.querySelectorAll("details[open]")].map((details) => details.id);
  for (const id of REGIONS) {
    const [old, current] = [document.getElementById(id), page.getElementById(id)];
    if (old && current && old.innerHTML !== current.innerHTML) old.replaceChildren(...current.childNodes);
  }
  for (const [id, value] of typed) {
    const input = document.getElementById(id);
    if (input) input.value = value;
  }
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  if (focused && document.activeElement?.id !== focused) {
    const again = document.getElementById(focused);
    // What was pressed may not be possible any more.
    (again && !again.disabled ? again : document.getElementById("main")).focus({ preventScroll: true });
  }
  version = page.body.dataset.version;
  document.title = page.title;
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  event.preventDefault();
  const button = form.querySelector("button");
  if (button.getAttribute("aria-busy")) return;
  button.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    history.replaceState(null, "", response.url);
    show(await response.text());
  } catch {
    form.submit();
  } finally {
    button.removeAttribute("aria-busy");
  }
});

async function refresh() {
  try {
    if (!document.hidden) {
      const pulse = await (await fetch("/_simulator/pulse")).json();
      if (pulse.version !== version) {
        show(await (await fetch(location.href)).text());
      }
    }
  } catch {
    // The simulator is gone, or starts again: try later.
  }
  setTimeout(refresh, 700);
}
setTimeout(refresh, 700);
