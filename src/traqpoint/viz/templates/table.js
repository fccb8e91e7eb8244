// Columns sort by a click; the matrix says which pair is pointed at.
document.querySelectorAll("th button").forEach((button) => {
  let down = false;
  button.onclick = () => {
    const column = button.parentElement.cellIndex, body = document.querySelector("tbody");
    const key = (row) => row.cells[column].textContent.trim();
    const number = (text) => (text === "" || isNaN(text) ? -1 : Number(text));
    down = !down;
    [...body.rows]
      .sort((a, b) => (number(key(a)) - number(key(b)) || key(a).localeCompare(key(b))) * (down ? -1 : 1))
      .forEach((row) => body.append(row));
  };
});
const matrix = document.querySelector(".matrix img"), said = document.querySelector("[data-pair]");
if (matrix) {
  const counts = new Map(DATA.pairs.map(([a, b, matches, inliers]) => [a * DATA.names.length + b, [matches, inliers]]));
  matrix.onpointermove = (event) => {
    const box = matrix.getBoundingClientRect(), n = DATA.names.length;
    const at = (share) => Math.min(n - 1, Math.max(0, Math.floor(share * n)));
    const i = at((event.clientY - box.top) / box.height), j = at((event.clientX - box.left) / box.width);
    const found = counts.get(Math.min(i, j) * n + Math.max(i, j));
    said.textContent = i === j ? DATA.names[i] : `${DATA.names[i]} and ${DATA.names[j]}: ` +
      (found ? `${found[1]} of ${found[0]} matches agree with one motion` : "not matched");
  };
}
