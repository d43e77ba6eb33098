// Tables that are wider than the page: their columns are shown in turns, the first one always, so that none is cut.

const turns = new WeakMap();  // box of a table -> which turn it shows, and its buttons

const fitAll = () => { for (const table of document.querySelectorAll(".scroll > table")) fit(table); };
addEventListener("resize", fitAll);

// Split the columns behind the first into turns that fit a width.
function split(widths, room) {
  const found = [[]];
  let left = room - widths[0];
  widths.slice(1).forEach((width, at) => {
    if (width > left && found.at(-1).length) { found.push([]); left = room - widths[0]; }
    found.at(-1).push(at + 1);
    left -= width;
  });
  return found;
}

function fit(table) {
  const box = table.parentNode, at = turns.get(box) ?? controls(box);
  turns.set(box, at);
  show(table, null);
  const heads = [...(table.tHead.rows[0]?.cells ?? [])];
  at.bar.hidden = table.offsetWidth <= box.clientWidth;
  if (at.bar.hidden) return;
  const found = split(heads.map(head => head.getBoundingClientRect().width), box.clientWidth);
  at.turn = Math.min(at.turn, found.length - 1);
  show(table, found[at.turn]);
  const [first, last] = [found[at.turn][0], found[at.turn].at(-1)];
  at.shown.textContent = `columns ${first + 1} to ${last + 1} of ${heads.length}`;
  at.before.disabled = at.turn === 0;
  at.after.disabled = at.turn === found.length - 1;
}

const show = (table, columns) => { for (const row of table.rows) [...row.cells].forEach((cell, at) => cell.classList.toggle("away", Boolean(columns) && at > 0 && !columns.includes(at))); };

function controls(box) {
  const bar = element("p", "", { class: "screen turns" }), shown = element("output", "");
  const button = (text, step) => {
    const made = element("button", text, { type: "button" });
    made.onclick = () => { at.turn += step; fit(box.querySelector("table")); };
    return made;
  };
  const at = { turn: 0, bar, shown, before: button("‹ columns before", -1), after: button("further columns ›", 1) };
  bar.append(at.before, shown, at.after);
  box.before(bar);
  return at;
}
