// The view of a table as a file: { board, head, numeric, rows } to text.

function csvOf({ head, rows }) {
  const cell = (value) => {
    if (typeof value === "number") return String(value);
    const guarded = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\n]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
  };
  return [head, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

function jsonOf({ board, head, rows }) {
  return JSON.stringify({ board, view: location.hash, columns: head, rows }, null, 1) + "\n";
}

function latexOf({ head, numeric, rows }) {
  const signs = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" };
  const text = (value) => typeof value === "number" ? (Number.isInteger(value) ? String(value) : value.toFixed(2))
    : value.replace(/[\\~^&%$#_{}]/g, (sign) => signs[sign] ?? `\\${sign}`);
  const lines = [head, ...rows].map((row) => `${row.map(text).join(" & ")} \\\\`);
  const format = numeric.map((one) => one ? "r" : "l").join("");
  return [`\\begin{tabular}{${format}}`, `${lines[0]} \\hline`, ...lines.slice(1), "\\end{tabular}", ""].join("\n");
}

