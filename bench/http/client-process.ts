/** The load generator: posts tasks over HTTP, as the parent's calls will have it. */
import { pause } from '../processes.ts';
import { serve } from '../remote.ts';
import type { BulkFlood, Flood, Submit, Trickle } from '../submitting.ts';
import { flood, floodBulk, trickle } from '../submitting.ts';
import type { HttpClient } from './client.ts';
import { httpClient } from './client.ts';

const PROBE_MS = 50;

let client: HttpClient | undefined;
let bulkClient: HttpClient | undefined;

const taskOf = (sample: number) => `{"name":"noop","payload":{"sample":${sample}}}`;

const submit: Submit = async (sample) => {
  await client?.post(taskOf(sample));
};

const submitMany = async (samples: readonly number[]) => {
  await bulkClient?.post(`[${samples.map(taskOf).join(',')}]`);
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
      bulkClient = httpClient(`${url}/batch`);
    },
    trickle: (options: Trickle) => trickle(submit, options),
    flood: (options: Flood) => flood(submit, options),
    floodBulk: (options: BulkFlood) => floodBulk(submitMany, options),
  },
  () => {
    client?.close();
    bulkClient?.close();
    return Promise.resolve();
  },
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
