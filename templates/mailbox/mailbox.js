// Refreshes the list every two seconds. The pages work without this file.
(() => {
  const list = document.getElementById("list");
  const address = list?.dataset.refresh;
  if (!address) return;
  const opened = () => list.querySelector("[aria-current]")?.getAttribute("href");
  let shown;
  setInterval(async () => {
    if (document.hidden) return;
    const response = await fetch(address).catch(() => null);
    if (!response?.ok) return;
    const text = await response.text();
    if (text === shown) return;
    const first = shown === undefined;
    shown = text;
    const before = list.querySelectorAll("li").length;
    const [current, focused] = [opened(), list.contains(document.activeElement) && document.activeElement.getAttribute("href")];
    const page = new DOMParser().parseFromString(text, "text/html");
    // Nothing new since the page was rendered.
    if (first && page.querySelectorAll("li").length === before) return;
    list.replaceChildren(...page.body.childNodes);
    for (const link of list.querySelectorAll(".mail-list a")) {
      if (link.getAttribute("href") === current) link.setAttribute("aria-current", "true");
      if (link.getAttribute("href") === focused) link.focus();
    }
    // The first letter of an empty mailbox opens by itself.
    if (before === 0 && list.querySelector("li") && location.pathname.replace(/\/$/, "") === "/mailbox") location.reload();
  }, 2000);
})();
