import { realpath } from 'node:fs/promises';
import { register } from 'node:module';
import { pathToFileURL } from 'node:url';

const PACKAGE = new URL('../../../', import.meta.url).href;

let registered = false;

/**
 * Before `file` is imported: lets a handler that lies outside of this package import from it by its name, as one within does.
 * (To Node, a package's own name means that package only to what lies within it.)
 */
export async function allowPackageImports(file: string): Promise<void> {
  if (registered || pathToFileURL(await realpath(file)).href.startsWith(PACKAGE)) return;
  registered = true;
  register(new URL('./package-import-hook.mjs', import.meta.url));
}
