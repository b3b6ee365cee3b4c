/** `peer-process.ts NAME URL`: one peer's client or worker, as the parent's calls will have it. */
import type { BulkFlood, Flood, Trickle } from '../submitting.ts';
import { flood, floodBulk, trickle } from '../submitting.ts';
import { serve } from '../remote.ts';
import { wallMs } from '../wall-clock.ts';
import type { Load, LongLoad, Moment, WorkOn } from './contestant.ts';
import type { Payload, Peer, PeerClient, PeerWorker } from './peer.ts';

const [, , name = '', url = ''] = process.argv;
const { peer } = (await import(`./${name}.ts`)) as { peer: Peer };

let client: PeerClient | undefined;
let worker: PeerWorker | undefined;
const starts: Moment[] = [];

const theClient = async () => (client ??= await peer.client(url));

serve(
  {
    install: async () => (await theClient()).install(),
    async load({ count, first = 0, due, textLength = 0, sleepMs }: Load & Partial<LongLoad>) {
      const { load } = await theClient();
      const more = {
        ...(textLength > 0 && { text: 'x'.repeat(textLength) }),
        ...(sleepMs !== undefined && { sleepMs }),
      };
      const payloads = Array.from({ length: count }, (_, index) => ({ sample: first + index, ...more }));
      const dueAtMs = ({ sample }: Payload) =>
        due === undefined ? undefined : due.fromMs + ((sample - first) * 1_000) / due.perSecond;
      await load(payloads, dueAtMs);
    },
    settled: async () => (await theClient()).settled(),
    async trickle(options: Trickle) {
      const { submit } = await theClient();
      return trickle(submit, options);
    },
    async flood(options: Flood) {
      const { submit } = await theClient();
      return flood(submit, options);
    },
    async floodBulk(options: BulkFlood) {
      const { submitMany } = await theClient();
      return floodBulk(submitMany, options);
    },
    async work(on: WorkOn) {
      worker = await peer.work(url, (sample) => starts.push([sample, wallMs()]), on);
    },
    starts: () => starts,
  },
  async () => {
    await worker?.close();
    await client?.close();
  },
);
