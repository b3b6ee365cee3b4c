import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../runtime/system.ts';
import { clusterReady } from './readiness.ts';

describe('the readiness of a local cluster', () => {
  let server: Server;
  let url: string;
  /** Owner of each partition, by its place; what the API says of them. */
  let owners: (string | null)[];
  let alive: string[];

  beforeEach(async () => {
    alive = ['worker-1', 'worker-2'];
    server = createServer((request, response) => {
      const cluster = {
        partitions: owners.map((owner, id) => ({ id, owner, epoch: 1 })),
        workers: alive.map((id) => ({ id, alive: true })),
      };
      response.end(request.url === '/cluster' ? JSON.stringify(cluster) : '{}');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  /** With a deadline that allows one look. */
  const look = () =>
    clusterReady({
      ...{ url, workerIds: ['worker-1', 'worker-2'], clock: systemClock, deadlineMs: 0 },
      signal: new AbortController().signal,
    });

  it('is there when every worker owns partitions and every partition is owned', async () => {
    owners = ['worker-1', 'worker-2', 'worker-1'];
    await look();
  });

  it.each([
    ['a worker is not there', ['worker-1', 'worker-1'], ['worker-1'], 'worker-2 not there yet'],
    [
      'a partition has no owner',
      ['worker-1', null, 'worker-2'],
      undefined,
      '1 of 3 partitions without an owner',
    ],
    [
      'an owner is dead',
      ['worker-1', 'worker-9', 'worker-2'],
      undefined,
      '1 of 3 partitions without an owner',
    ],
    [
      'a worker owns nothing yet',
      ['worker-1', 'worker-1', 'worker-1'],
      undefined,
      'worker-2 without a partition',
    ],
  ])('is not when %s', async (_, partitions, workers, missing) => {
    owners = partitions;
    alive = workers ?? alive;
    await expect(look()).rejects.toThrow(missing);
  });

  it('does not ask for more owners than there are partitions', async () => {
    owners = ['worker-2'];
    await look();
  });
});
