// The script of the pages that `--html` writes: sorts and searches the table, and shows which section of the drawing
// is which row. Without it the page can still be read.

const table = /** @type {HTMLTableElement} */ (document.querySelector("table"));
const body = table.tBodies[0];
const rows = [...body.rows];
const search = /** @type {HTMLInputElement} */ (document.getElementById("search"));
const count = document.getElementById("count");
const detail = document.getElementById("detail");
/** @type {NodeListOf<SVGAElement>} */
const links = document.querySelectorAll("svg a");
/** The sections of the drawing, by the id of their row. */
const drawn = new Map([...links].map((link) => [link.dataset.row, link]));

/** The value by which a cell is sorted. */
function order(row, column) {
  const cell = row.cells[column];
  return cell.dataset.order ?? cell.textContent;
}

for (const [column, heading] of [...table.tHead.rows[0].cells].entries()) {
  heading.querySelector("button").addEventListener("click", () => {
    const descending = heading.ariaSort === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    rows.sort((a, b) => {
      const [first, second] = [order(a, column), order(b, column)];
      return (first < second ? -1 : first > second ? 1 : 0) * (descending ? -1 : 1);
    });
    body.append(...rows);
  });
}

function filter() {
  const wanted = search.value.trim().toLowerCase();
  let matches = 0;
  for (const row of rows) {
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
    if (!row.hidden) matches++;
    drawn.get(row.id)?.classList.toggle("unmatched", row.hidden);
  }
  count.textContent = `${matches} of ${rows.length}`;
}
search.addEventListener("input", filter);

/** Marks a section in both places, and says what it is. */
function mark(id, marked) {
  const link = drawn.get(id);
  link?.classList.toggle("marked", marked);
  document.getElementById(id)?.classList.toggle("marked", marked);
  if (marked && link) detail.textContent = link.getAttribute("aria-label");
}

for (const [id, link] of drawn) {
  for (const name of ["pointerenter", "focus"]) link.addEventListener(name, () => mark(id, true));
  for (const name of ["pointerleave", "blur"]) link.addEventListener(name, () => mark(id, false));
  // A search may have hidden the row that the link leads to.
  link.addEventListener("click", () => {
    if (!document.getElementById(id)?.hidden) return;
    search.value = "";
    filter();
  });
}
for (const row of rows) {
  row.addEventListener("pointerenter", () => mark(row.id, true));
  row.addEventListener("pointerleave", () => mark(row.id, false));
}
for (const range of document.querySelectorAll("rect.host")) {
  for (const name of ["pointerenter", "focus"])
    range.addEventListener(name, () => {
      detail.textContent = range.getAttribute("aria-label");
    });
}
