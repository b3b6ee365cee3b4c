/** Reads the handlers of users: the modules of `HANDLERS_DIR`, one a task name. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isHandler } from '../../../libs/handlers/index.ts';
import type { AnyHandler } from '../../../libs/handlers/index.ts';
import { StartupError } from '../../../libs/runtime/app-process.ts';
import { allowPackageImports } from './package-imports.ts';

/** Types alone, tests and what begins with a dot or an underscore are no handlers. */
const MODULE = /^[^._].*(?<!\.d|\.test)\.(ts|mts|js|mjs)$/;
/** What somebody may have taken for one. */
const LIKE_A_MODULE = /^[^._].*(?<!\.d|\.test)\.(cts|cjs|tsx|jsx)$/;
const LIKE_A_FOLDER_OF_MODULES = /^(?!node_modules$)[^._]/;

/** A handler, and the file it came from. */
export interface LoadedHandler {
  readonly handler: AnyHandler;
  readonly file: string;
}

export interface LoadedHandlers {
  /** By name. */
  readonly handlers: ReadonlyMap<string, LoadedHandler>;
  /** Files and folders that are not read, though they look as if they were meant to be. */
  readonly ignored: readonly string[];
}

/**
 * @param mayBeMissing where nobody has asked for this directory
 * @throws StartupError, in one line, for a module that does not load or exports no handler, and for two of one name
 */
export async function loadHandlers(directory: string, mayBeMissing: boolean): Promise<LoadedHandlers> {
  const handlers = new Map<string, LoadedHandler>();
  const { modules, ignored } = await list(directory, mayBeMissing);
  for (const name of modules) {
    const file = join(directory, name);
    const handler = await loadHandler(file);
    const other = handlers.get(handler.name);
    if (other !== undefined)
      throw new StartupError(`${other.file} and ${file} both handle tasks named '${handler.name}'`);
    handlers.set(handler.name, { handler, file });
  }
  return { handlers, ignored };
}

async function list(
  directory: string,
  mayBeMissing: boolean,
): Promise<{ readonly modules: readonly string[]; readonly ignored: readonly string[] }> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    const named = (pattern: RegExp, isFolder: boolean) =>
      entries
        .filter((entry) => entry.isDirectory() === isFolder && pattern.test(entry.name))
        .map(({ name }) => (isFolder ? `${name}/` : name))
        .sort();
    return {
      modules: named(MODULE, false),
      ignored: [...named(LIKE_A_MODULE, false), ...named(LIKE_A_FOLDER_OF_MODULES, true)],
    };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && mayBeMissing) return { modules: [], ignored: [] };
    throw new StartupError(`HANDLERS_DIR cannot be read: ${message}`);
  }
}

/** @throws StartupError, in one line, for a module that does not load or exports no handler */
export async function loadHandler(file: string): Promise<AnyHandler> {
  let exported: { readonly default?: unknown };
  try {
    await allowPackageImports(file);
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
