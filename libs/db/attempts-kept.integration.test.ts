/** What is kept of how a task's attempts have ended. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DatabaseUnderTest } from '../testing/database-under-test.ts';

/** As many as a policy may allow. */
const MOST = 100;

describe('of a task’s attempts', () => {
  let database: DatabaseUnderTest;
  beforeAll(async () => {
    database = await DatabaseUnderTest.start();
  });
  afterAll(() => database.close());

  it('the last 100 are kept, the newest first, whether a worker or a recovery has ended them', async () => {
    const a = await database.worker('a');
    await a.own([0, 1, 2, 3], 1);
    const { id } = await database.submitOne();
    const kept = async () => (await database.tasks.attempts(id)) ?? [];
    const numbers = async () => (await kept()).map(({ attempt }) => attempt);
    const downFrom = (attempt: number) => Array.from({ length: MOST }, (_, index) => attempt - index);

    for (let attempt = 1; attempt <= MOST + 1; attempt++) {
      if (attempt === MOST + 1) expect(await numbers()).toEqual(downFrom(MOST));
      expect(await a.finish((await a.claim()).tasks, { kind: 'HANDED_BACK' })).toEqual(['recorded']);
    }
    expect(await numbers()).toEqual(downFrom(MOST + 1));

    await a.claim();
    const b = await database.worker('b');
    await b.own([0, 1, 2, 3], 2);
    await database.expireLease(a);
    await b.execution.recover({ held: b.held, own: [], jitter: 0 });
    expect(await numbers()).toEqual(downFrom(MOST + 2));
    expect((await kept())[0]).toMatchObject({ outcome: 'LOST' });
  });
});
