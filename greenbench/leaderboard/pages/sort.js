"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  for (const button of table.querySelectorAll("thead button")) {
    button.addEventListener("click", () => {
      const heading = button.closest("th"), column = heading.cellIndex, body = table.tBodies[0];
      const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      const key = row => row.cells[column].dataset.key, text = row => row.cells[column].textContent.trim();
      const numeric = [...body.rows].some(row => key(row) !== undefined);
      const compare = (a, b) => !numeric ? sign * text(a).localeCompare(text(b))
        : key(a) === undefined || key(b) === undefined ? (key(a) === undefined) - (key(b) === undefined)
        : sign * (key(a) - key(b));
      body.append(...[...body.rows].sort(compare));
      table.querySelectorAll("th[aria-sort]").forEach(other => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    });
  }
}
for (const filter of document.querySelectorAll(".filter")) {
  filter.hidden = false;
  filter.addEventListener("change", () => {
    const shown = [...filter.querySelectorAll("input:checked")].map(box => box.value);
    for (const row of document.querySelectorAll("tr[data-level]")) row.hidden = !shown.includes(row.dataset.level);
  });
}
