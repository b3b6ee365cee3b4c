/**
 * A process of its own that runs each handler of a directory once, as a worker does, and prints what each has returned: for
 * tests that are about how Node loads modules.
 */
import { pino } from 'pino';
import { systemClock } from '../../../libs/runtime/system.ts';
import { AttemptContext } from '../attempt-context.ts';
import { loadHandlers } from '../handlers/load.ts';
import { handlerRegistry } from '../handlers/registry.ts';

const [directory = ''] = process.argv.slice(2);
const logger = pino({ level: 'silent' });
const { handlers } = await loadHandlers(directory, false);
const registry = handlerRegistry({
  ...{ clock: systemClock, logger, own: handlers.values(), others: 'none' },
});
const returned: Record<string, unknown> = {};
for (const name of handlers.keys()) {
  const task = { id: 1, name, partition: 0, epoch: 1, attempt: 1, scheduledAtMs: 0, record: 1 };
  const host = { clock: systemClock, logger, progressed: () => undefined };
  const context = new AttemptContext(task, new AbortController(), host);
  returned[name] = await registry.handlerFor(name).run({ who: 'Ada' }, context);
}
await registry.close();
console.log(JSON.stringify(returned));
