import { isUtf8 } from 'node:buffer';
import type { Api } from './app.ts';
import { Problem } from './problem.ts';

/** Lines of JSON, one a task; there is no other name for it yet. */
export const NDJSON = 'application/x-ndjson';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether its bodies may be lines as well: the handler is given the stream of them. */
    readonly ndjson?: boolean;
  }
}

/** Bodies are JSON, or where a route takes them lines of it, as they are: not compressed. */
export function addBodyParsers(api: Api): void {
  api.removeAllContentTypeParsers();
  api.addContentTypeParser(NDJSON, (request, body, done) => {
    try {
      if (request.routeOptions.config.ndjson !== true) throw unsupportedMediaType();
      refuseContentEncoding(request.headers['content-encoding']);
      done(null, body);
    } catch (error) {
      done(error as Problem);
    }
  });
  api.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    try {
      refuseContentEncoding(request.headers['content-encoding']);
      done(null, parseJsonBody(body));
    } catch (error) {
      done(error as Problem);
    }
  });
}

export function unsupportedMediaType(): Problem {
  return new Problem('unsupported-media-type', {
    detail: 'Send the body as Content-Type: application/json.',
  });
}

/** @throws Problem `unsupported-content-encoding`, with what is accepted (RFC 9110, section 15.5.16) */
function refuseContentEncoding(encoding = 'identity'): void {
  if (encoding.trim().toLowerCase() === 'identity') return;
  throw new Problem('unsupported-content-encoding', {
    detail: 'Send the body without a Content-Encoding.',
    headers: { 'accept-encoding': 'identity' },
  });
}

/**
 * A request's body as JSON; `undefined` where it is empty, as clients like to announce JSON with a DELETE as well.
 * @throws Problem `invalid-json`
 */
export function parseJsonBody(body: Buffer): unknown {
  if (body.length === 0) return undefined;
  // Decoding would quietly replace what is no UTF-8, and so store something else than was sent.
  if (!isUtf8(body)) throw notJson('is not UTF-8');
  const text = body.toString('utf8').replace(/^\uFEFF/, '');
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message quotes the body.
    throw notJson('is not valid JSON');
  }
}

function notJson(detail: string): Problem {
  return new Problem('invalid-json', { detail: `The body ${detail}.`, errors: [{ pointer: '', detail }] });
}
