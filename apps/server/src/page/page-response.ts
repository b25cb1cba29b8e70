/** Answers requests for the page: caching, compression, and the policy that keeps it from loading or sending anything elsewhere. */
import type { PageFile, PageFiles } from './page-files.js';

/**
 * Only files of this server, no inline code, no frames around it, no forms to elsewhere. Images may also come from blobs:
 * dropped files are shown before they are sent. Reports of model folders are turned into elements under the policy `report`.
 */
export const contentPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob: data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types report',
].join('; ');

const guards: Readonly<Record<string, string>> = {
  'content-security-policy': contentPolicy,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
};

/** Roots that belong to APIs and files: an unknown path below them is unknown, never the page. */
const API = /^\/(ui|v\d+|penjing|metrics|healthz|livez|readyz|openapi\.json|admin)(\/|$)/;

/** The answer, or undefined when the request is not for the page. The path is looked up as it is: nothing is decoded. */
export function pageResponse(files: PageFiles, request: Request): Response | undefined {
  const { method, headers } = request;
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  const { pathname } = new URL(request.url);
  const file = files.get(pathname === '/' ? '/index.html' : pathname) ?? fallback(files, pathname, headers);
  return file && fileResponse(file, method, headers);
}

/** For a person, when the server runs from its sources and the page was not built. */
export function unbuiltResponse(): Response {
  const text = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>Penjing</title></head>
<body>
<h1>The page is not built</h1>
<p>The server runs, from its sources. Build the page in the repository, then start the server again:</p>
<pre>npx turbo run build --filter=@penjing/server...</pre>
<p>The APIs work without it: <a href="./openapi.json">openapi.json</a> lists them, <a href="./v1/models">v1/models</a> lists the models.</p>
</body>
</html>
`;
  return new Response(text, { status: 404, headers: { ...guards, 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' } });
}

/** A person who typed an address gets the page; a program that asked for a file gets a 404. */
function fallback(files: PageFiles, pathname: string, headers: Headers): PageFile | undefined {
  // The page names its files relative to the root, so only addresses of one part can stand for it.
  const isPlain = /^\/[\w-]+$/.test(pathname);
  return isPlain && !API.test(pathname) && (headers.get('accept') ?? '').includes('text/html') ? files.get('/index.html') : undefined;
}

function fileResponse(file: PageFile, method: string, asked: Headers): Response {
  const packed = /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/.test(asked.get('accept-encoding') ?? '') ? file.packed : undefined;
  const tag = `"${file.tag}${packed ? '-gz' : ''}"`;
  const headers = new Headers({
    ...guards,
    'content-type': file.type,
    'cache-control': file.immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
    etag: tag,
    ...(file.packed && { vary: 'accept-encoding' }),
  });
  if (matches(asked.get('if-none-match'), tag)) return new Response(null, { status: 304, headers });
  const bytes = packed ?? file.bytes;
  if (packed) headers.set('content-encoding', 'gzip');
  headers.set('content-length', String(bytes.length));
  return new Response(method === 'HEAD' ? null : bytes, { headers });
}

/** Weak comparison of RFC 9110 §13.1.2; the list may hold tags of other encodings. */
function matches(condition: string | null, tag: string): boolean {
  return condition !== null && (condition.trim() === '*' || condition.split(',').some((one) => one.trim().replace(/^W\//, '') === tag));
}
