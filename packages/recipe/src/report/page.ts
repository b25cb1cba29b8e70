/** One self-contained HTML page: facts, tables and plots, light and dark, readable on a phone; no request, no script. */
import { escapeHtml } from './plots.js';

export interface ReportTable {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface ReportPage {
  readonly title: string;
  /** A sentence that says what was compared with what. */
  readonly lead: string;
  readonly facts: readonly (readonly [name: string, value: string])[];
  /** SVG figures from `plots.ts`. */
  readonly plots: readonly string[];
  readonly tables: readonly ReportTable[];
  /** When, with what version, on what machine. */
  readonly colophon: string;
}

export function renderPage(page: ReportPage): string {
  const facts = page.facts.map(([name, value]) => `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd></div>`).join('');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(page.title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeHtml(page.title)}</h1>
<p class="lead">${escapeHtml(page.lead)}</p>
<dl>${facts}</dl>
${page.plots.join('\n')}
${page.tables.map(renderTable).join('\n')}
<footer>${escapeHtml(page.colophon)}</footer>
</main>
</body>
</html>
`;
}

/** A column whose cells are all numbers, or dashes where there is none, is set to the right with its head. */
function renderTable({ title, header, rows }: ReportTable): string {
  const numeric = header.map((_, i) => rows.some((row) => isNumber(row[i] ?? '')) && rows.every((row) => row[i] === '—' || isNumber(row[i] ?? '')));
  const head = header.map((cell, i) => `<th scope="col"${numeric[i] ? ' class="number"' : ''}>${escapeHtml(cell)}</th>`).join('');
  const body = rows.map((row) => `<tr>${row.map((cell, i) => renderCell(cell, numeric[i] === true)).join('')}</tr>`).join('\n');
  return `<section><h2>${escapeHtml(title)}</h2><div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div></section>`;
}

function renderCell(cell: string, numeric: boolean): string {
  // a sentence in a narrow column would make its row tall
  const kind = numeric || isNumber(cell) ? 'number' : cell.length > 30 && cell.includes(' ') ? 'sentence' : undefined;
  return `<td${kind ? ` class="${kind}"` : ''}>${escapeHtml(cell)}</td>`;
}

function isNumber(cell: string): boolean {
  return /^[-−+]?[\d.,∞]+(e[-+]\d+)?( ?[%a-zA-Z/]{0,8})?$/.test(cell);
}

const STYLE = `
:root{color-scheme:light dark;--ink:light-dark(#1d2420,#e4e9e6);--soft:light-dark(#5c6861,#9aa69f);--line:light-dark(#d9dfdb,#323b36);--paper:light-dark(#fbfcfb,#141816);--card:light-dark(#f1f5f2,#1c221f);--m0:light-dark(#2f7d57,#62b98b);--m1:light-dark(#b8703a,#dd9a66);--m2:light-dark(#3b6ea5,#7fb0e0);--m3:light-dark(#8a5a9e,#c096d4)}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:800px;margin:0 auto;padding:24px 20px 48px}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:36px 0 8px}
.lead{color:var(--soft);margin:0 0 20px;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:10px;margin:0 0 28px}
dl div{background:var(--card);border-radius:8px;padding:10px 12px}
dt{color:var(--soft);font-size:.8rem}
dd{margin:2px 0 0;font-size:1.15rem;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
figure{margin:28px 0;overflow-x:auto}
figcaption{font-weight:600;margin-bottom:6px}
svg{width:100%;min-width:560px;height:auto;display:block}
svg.narrow{display:none;min-width:0}
@media (max-width:640px){svg.wide{display:none}svg.narrow{display:block}}
svg text{fill:var(--ink);font:13px system-ui,sans-serif;font-variant-numeric:tabular-nums}
svg .tick,svg .axis{fill:var(--soft);font-size:12px}
svg .tick{paint-order:stroke;stroke:var(--paper);stroke-width:3px}
svg .grid{stroke:var(--line)}
.mark.m0{fill:var(--m0)}.mark.m1{fill:var(--m1)}.mark.m2{fill:var(--m2)}.mark.m3{fill:var(--m3)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:6px 10px;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600;white-space:nowrap}
th.number{text-align:right}
td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.sentence{min-width:16rem}
.curve{fill:none;stroke-width:2}.c0{stroke:var(--m0)}.c1{stroke:var(--m1)}.c2{stroke:var(--m2)}.c3{stroke:var(--m3)}.faint{opacity:.35}
.line{fill:none;stroke:var(--m2);stroke-width:2;opacity:.6}
footer{color:var(--soft);font-size:.85rem;overflow-wrap:anywhere;margin-top:36px;border-top:1px solid var(--line);padding-top:12px}
`;
