/** Reads the handlers of users: the modules of `HANDLERS_DIR`, one a task name. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isHandler } from '../../../libs/handlers/index.ts';
import type { AnyHandler } from '../../../libs/handlers/index.ts';
import { StartupError } from '../../../libs/runtime/app-process.ts';

/** Types alone, tests and what begins with a dot or an underscore are no handlers. */
const MODULE = /^[^._].*(?<!\.d|\.test)\.(ts|mts|js|mjs)$/;

/** A handler, and the file it came from. */
export interface LoadedHandler {
  readonly handler: AnyHandler;
  readonly file: string;
}

/**
 * @param mayBeMissing where nobody has asked for this directory
 * @returns them by name
 * @throws StartupError, in one line, for a module that does not load or exports no handler, and for two of one name
 */
export async function loadHandlers(
  directory: string,
  mayBeMissing: boolean,
): Promise<Map<string, LoadedHandler>> {
  const handlers = new Map<string, LoadedHandler>();
  for (const name of await moduleNames(directory, mayBeMissing)) {
    const file = join(directory, name);
    const handler = await loadHandler(file);
    const other = handlers.get(handler.name);
    if (other !== undefined)
      throw new StartupError(`${other.file} and ${file} both handle tasks named '${handler.name}'`);
    handlers.set(handler.name, { handler, file });
  }
  return handlers;
}

async function moduleNames(directory: string, mayBeMissing: boolean): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory() && MODULE.test(entry.name))
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && mayBeMissing) return [];
    throw new StartupError(`HANDLERS_DIR cannot be read: ${message}`);
  }
}

/** @throws StartupError, in one line, for a module that does not load or exports no handler */
export async function loadHandler(file: string): Promise<AnyHandler> {
  let exported: { readonly default?: unknown };
  try {
    exported = (await import(pathToFileURL(file).href)) as typeof exported;
  } catch (error) {
    throw new StartupError(
      `${file} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (!isHandler(exported.default))
    throw new StartupError(`${file} has no default export made by defineHandler()`);
  return exported.default;
}
