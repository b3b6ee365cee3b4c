/** The load generator: posts tasks over HTTP, as the parent's calls will have it. */
import { pause } from '../processes.ts';
import { serve } from '../remote.ts';
import type { Flood, Submit, Trickle } from '../submitting.ts';
import { flood, trickle } from '../submitting.ts';
import type { HttpClient } from './client.ts';
import { httpClient } from './client.ts';

const PROBE_MS = 50;

let client: HttpClient | undefined;

const submit: Submit = async (sample) => {
  await client?.post(`{"name":"noop","payload":{"sample":${sample}}}`);
};

serve(
  {
    /** From now on everything goes to `url`; resolves once its server is ready. */
    async open(url: string, deadlineMs: number) {
      const readyUrl = new URL('/readyz', url);
      for (let waitedMs = 0; !(await isReady(readyUrl)); waitedMs += PROBE_MS) {
        if (waitedMs > deadlineMs) throw new Error(`no answer from ${readyUrl.href}`);
        await pause(PROBE_MS);
      }
      client = httpClient(url);
    },
    trickle: (options: Trickle) => trickle(submit, options),
    flood: (options: Flood) => flood(submit, options),
  },
  () => Promise.resolve(client?.close()),
);

async function isReady(url: URL): Promise<boolean> {
  try {
    const response = await fetch(url, { headers: { connection: 'close' } });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
