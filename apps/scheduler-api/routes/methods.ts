import { METHODS } from 'node:http';
import type { Api } from '../app.ts';
import { Problem } from '../problem.ts';

/**
 * Answers the methods that `urls` do not have, once their routes are there: OPTIONS with 204, any other with 405,
 * both with `Allow`. Decided before the body is read.
 */
export function refuseOtherMethods(api: Api, urls: readonly string[]): void {
  // As Node parses them, so that a PROPFIND is told apart from an unknown path as well.
  for (const method of METHODS) {
    if (!api.supportedMethods.includes(method)) api.addHttpMethod(method);
  }
  for (const url of urls) {
    const known = METHODS.filter((method) => api.hasRoute({ method, url }));
    const allow = [...known, 'OPTIONS'].join(', ');
    api.options(url, (_, reply) => reply.code(204).header('allow', allow).send());
    api.route({
      method: METHODS.filter((method) => method !== 'OPTIONS' && !known.includes(method)),
      url,
      onRequest: (request, _reply, done) =>
        done(
          new Problem('method-not-allowed', {
            detail: `${request.method} is not among the methods of this resource: ${allow}.`,
            headers: { allow },
          }),
        ),
      handler: () => undefined,
    });
  }
}
