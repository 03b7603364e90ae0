// Keys: `/` goes to the search box, `j` and `k` from row to row, Enter opens the row's first link.
// The pages work without this file.
(() => {
  // Not by scrollIntoView, after which the Tab key goes on from there instead of from the skip link.
  const menu = document.querySelector(".menu ul");
  const here = menu?.querySelector("[aria-current]");
  if (here) {
    const before = here.getBoundingClientRect().left - menu.getBoundingClientRect().left;
    menu.scrollLeft += before - (menu.clientWidth - here.offsetWidth) / 2;
  }
  const rows = () => [...document.querySelectorAll("[data-row]")];
  let at = -1;
  const choose = (to) => {
    const all = rows();
    if (!all.length) return;
    all[at]?.classList.remove("chosen");
    at = Math.max(0, Math.min(all.length - 1, to));
    all[at].classList.add("chosen");
    (all[at].querySelector("a, summary") ?? all[at]).focus();
    all[at].scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    const typing = target instanceof Element && target.closest("input, textarea, select");
    if (typing) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (event.key === "/") {
      event.preventDefault();
      const box = document.querySelector("[data-search]");
      box?.focus();
      box?.select();
    } else if (event.key === "j") choose(at + 1);
    else if (event.key === "k") choose(at - 1);
  });
})();
