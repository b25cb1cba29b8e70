/**
 * Reports are HTML from a model's folder, which somebody else may have written. Only elements and attributes that draw are kept,
 * copied one by one into new elements; styles go into a sheet of their own that can reach nothing but the report. No script, link, form or
 * picture survives, and the page's policy would refuse them all the same.
 */

const HTML = new Set('main section h1 h2 h3 p dl dt dd div span figure figcaption table thead tbody tr th td footer strong em code pre ul ol li br b i small sub sup'.split(' '));
const SVG = new Set('svg g path line rect circle ellipse polyline polygon text tspan title desc'.split(' '));
const ATTRIBUTES = new Set('class scope colspan rowspan role aria-label viewbox d x y x1 x2 y1 y2 dx dy cx cy r rx ry width height points transform text-anchor dominant-baseline fill-opacity stroke-width stroke-dasharray preserveaspectratio'.split(' '));

// More than any report has; what is beyond is left out.
const MAX_ELEMENTS = 50_000;

const SVG_NAMESPACE = 'http://www.w3.org/2000/svg';

interface Policy {
  createHTML(text: string): string;
}

/** The page's policy asks for trusted types; this one is the only one, and its HTML is parsed into a document that is never shown. */
const policy: Policy =
  (globalThis as { readonly trustedTypes?: { createPolicy(name: string, rules: Policy): Policy } }).trustedTypes?.createPolicy('report', { createHTML: (text) => text }) ?? { createHTML: (text) => text };

/** Puts the report into a shadow tree. `style` gives what the page wants to add. */
export function showReport(root: ShadowRoot, html: string, style: string): void {
  // Taken out before anything is parsed: the page's policy, which forbids styles in a document, holds in this one too.
  let own = '';
  const bare = html.replace(/<style\b[^>]*>([\s\S]*?)<\/style\s*>/gi, (_, css: string) => {
    own += `${css}\n`;
    return '';
  });
  const parsed = new DOMParser().parseFromString(policy.createHTML(bare), 'text/html');
  const sheet = new CSSStyleSheet();
  // The report's own theme would follow the system; here it follows the page, whose variables reach into the tree.
  sheet.replaceSync(`${scoped(own)}\n${style}`);
  root.adoptedStyleSheets = [sheet];
  const budget = { left: MAX_ELEMENTS };
  root.replaceChildren(...[...parsed.body.childNodes].flatMap((node) => copy(node, budget)));
  // Tables and plots that are wider than the page are scrolled, also by the keyboard.
  for (const box of root.querySelectorAll<HTMLElement>('.scroll, figure')) box.tabIndex = 0;
}

/** `:root` and `body` of the report are the host in a shadow tree; what it says of colour schemes goes, since the page says which of its `light-dark()` colours hold. */
function scoped(css: string): string {
  return css.replace(/(?<![-\w])color-scheme\s*:[^;}]*;?/g, '').replace(/(^|[\s},])(:root|html|body)(?=[\s{,])/g, '$1:host').replace(/@import[^;]*;?/g, '');
}

function copy(node: ChildNode, budget: { left: number }): globalThis.Node[] {
  if (node.nodeType === 3) return [document.createTextNode(node.textContent ?? '')];
  if (!(node instanceof Element) || budget.left-- <= 0) return [];
  const name = node.localName;
  const isSvg = node.namespaceURI === SVG_NAMESPACE;
  const children = (): globalThis.Node[] => [...node.childNodes].flatMap((child) => copy(child, budget));
  if (!(isSvg ? SVG : HTML).has(name)) return /^(a|body|article)$/.test(name) ? children() : [];
  // The page has a main part already.
  const made = isSvg ? document.createElementNS(SVG_NAMESPACE, name) : document.createElement(name === 'main' ? 'div' : name);
  for (const { name: attribute, value } of node.attributes) {
    if (ATTRIBUTES.has(attribute.toLowerCase()) && !/url\(|javascript:/i.test(value)) made.setAttribute(attribute, value);
  }
  made.append(...children());
  return [made];
}
