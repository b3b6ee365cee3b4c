import { beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../../libs/testing/eventually.ts';
import { KeeperClient } from './keeper-client.ts';

const WITHIN = { withinMs: 10_000 };

describe('the keeper as the main thread sees it', () => {
  let keeper: KeeperClient;
  let fatal: string[];
  beforeEach(() => {
    fatal = [];
    const listener = { held: () => undefined, fatal: (message: string) => fatal.push(message) };
    keeper = new KeeperClient(listener, 'test', new URL('../testing/ending-thread.ts', import.meta.url));
  });

  it('is fatal for the worker when its thread ends by itself, and nobody waits for it any more', async () => {
    const leaving = keeper.leave();
    keeper.beat([]);
    await eventually('the worker hears of it', () => fatal.length > 0, WITHIN);
    expect(fatal).toEqual(['keeper thread ended by itself, with 0']);
    await leaving;
    await keeper.finish();
  });

  it('may end when it is told to', async () => {
    await keeper.finish();
    expect(fatal).toEqual([]);
  });
});
