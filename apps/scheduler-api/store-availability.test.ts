import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { StoreNotInitialisedError, StoreUnavailableError } from '../../libs/db/stores.ts';
import { ManualClock, settle } from '../../libs/testing/manual-clock.ts';
import { StoreAvailability } from './store-availability.ts';
import { MemoryTaskStore } from './testing/memory-task-store.ts';

function start() {
  const store = new MemoryTaskStore();
  const clock = new ManualClock();
  const log: string[] = [];
  const logger = pino({ base: null, timestamp: false }, { write: (line: string) => void log.push(line) });
  const availability = new StoreAvailability({ store, clock, logger });
  const said = () => log.map((line) => (JSON.parse(line) as { msg: string }).msg);
  return { store, clock, availability, said };
}

const AWAY = 'the database cannot be reached: answering 503 until it is back';
const NOT_INITIALISED = 'the database has not been initialised: answering 503 until cluster-init has run';
const BACK = 'the database is back and initialised';

describe('the availability of the store', () => {
  it('is lost once and regained once, however many requests fail and however long it takes', async () => {
    const { store, clock, availability, said } = start();
    store.fault = new StoreUnavailableError('away');
    for (let request = 0; request < 100; request++) availability.report(store.fault);
    await clock.advance(60_000);
    expect(said()).toEqual([AWAY]);
    store.fault = undefined;
    await clock.advance(60_000);
    expect(said()).toEqual([AWAY, BACK]);
    expect(clock.pending).toBe(0);
    availability.report(new StoreUnavailableError('away again'));
    expect(said()).toEqual([AWAY, BACK, AWAY]);
    await availability.close();
  });

  it('waits for cluster-init', async () => {
    const { store, clock, availability, said } = start();
    store.fault = new StoreNotInitialisedError('no schema');
    await expect(availability.check()).rejects.toBe(store.fault);
    await clock.advance(60_000);
    store.fault = undefined;
    await clock.advance(60_000);
    await availability.check();
    expect(said()).toEqual([NOT_INITIALISED, BACK]);
  });

  it('is not affected by other faults', async () => {
    const { clock, availability, said } = start();
    availability.report(new Error('a bug'));
    await clock.advance(60_000);
    expect(said()).toEqual([]);
  });

  it('leaves no timer behind when it is closed while probing', async () => {
    const { clock, availability } = start();
    availability.report(new StoreUnavailableError('away'));
    await settle();
    expect(clock.pending).toBe(1);
    await availability.close();
    expect(clock.pending).toBe(0);
  });
});
