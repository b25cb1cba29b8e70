/** GET /, /ui/…: the page, when it was built. */
import { PenjingError } from '@penjing/core';
import type { Context, Next } from 'hono';
import type { RouteModule } from '../context.js';
import { BUILD, pageFolder, type PageFiles, readPageFiles } from './page-files.js';
import { pageResponse, unbuiltResponse } from './page-response.js';

/** Mounted last: `/NAME` is for people who typed an address, and anything else has gone before. */
export const page: RouteModule = (app, { logger }) => {
  let files: Promise<PageFiles | undefined> | undefined;
  const read = async (): Promise<PageFiles | undefined> => {
    const folder = pageFolder();
    if (folder === undefined) return undefined;
    return readPageFiles(folder).catch((error: unknown) => {
      logger.warn({ error: error instanceof Error ? error.message : String(error) }, 'the page cannot be served');
      return undefined;
    });
  };
  const serve = async (c: Context, next: Next): Promise<Response | void> => {
    const known = await (files ??= read());
    const response = known && pageResponse(known, c.req.raw);
    if (response) return response;
    if (!known && c.req.path === '/') {
      if ((c.req.header('accept') ?? '').includes('text/html')) return unbuiltResponse();
      throw new PenjingError('E_ROUTE', 'the page of this server is not built', { hint: `${BUILD}; the APIs are at /v1 and /v2.` });
    }
    return next();
  };
  app.get('/', serve);
  app.get('/ui/*', serve);
  app.get('/:page{[A-Za-z0-9_-]+}', serve);
};
