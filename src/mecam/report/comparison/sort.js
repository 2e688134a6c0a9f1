/* A click on a heading of a sortable table sorts its rows by that column, a second click the other way round. */
addEventListener("DOMContentLoaded", () => {
  "use strict";
  const value = (row, column) => {
    const cell = row.cells[column];
    if (column === 0) return cell.textContent.trim();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const rising = head.getAttribute("aria-sort") !== "ascending";
        const rows = Array.from(table.tBodies[0].rows);
        rows.sort((first, second) => {
          const [a, b] = [value(first, column), value(second, column)];
          if (a === null || b === null) return (a === null) - (b === null);
          const order = column === 0 ? a.localeCompare(b) : a - b;
          return rising ? order : -order;
        });
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        table.tBodies[0].append(...rows);
      });
    });
  }
});
