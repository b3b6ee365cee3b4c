// Node's hook for handlers that lie outside of this package, see package-imports.ts. No TypeScript: tsx, which older Nodes need
// for it, is not there where the tests run.
import { readFile } from 'node:fs/promises';

const PACKAGE = new URL('../../../', import.meta.url).href;
const MODULES = new Map([
  ['partitioned-task-scheduler/handlers', new URL('libs/handlers/index.ts', PACKAGE).href],
  ['partitioned-task-scheduler/testing', new URL('libs/testing/handler.ts', PACKAGE).href],
]);
const AS_MODULE = new Map([
  ['commonjs', 'module'],
  ['commonjs-typescript', 'module-typescript'],
]);
const ESM_SYNTAX = /^\s*(import|export)\b/m;

/** @type {import('node:module').ResolveHook} */
export async function resolve(specifier, context, next) {
  const resolved = await next(MODULES.get(specifier) ?? specifier, context);
  return { ...resolved, format: await formatOf(resolved) };
}

/**
 * A package.json may say that a file is CommonJS, as `npm init` has it; and where none says anything, tsx takes it for that. But
 * what imports or exports can be nothing but a module.
 * @param {import('node:module').ResolveFnOutput} resolved
 */
async function formatOf({ url, format }) {
  const asModule = AS_MODULE.get(format ?? '');
  const { protocol, pathname } = new URL(url);
  if (asModule === undefined || protocol !== 'file:' || !/\.[jt]s$/.test(pathname)) return format;
  if (url.startsWith(PACKAGE) || pathname.includes('/node_modules/')) return format;
  return ESM_SYNTAX.test(await readFile(new URL(pathname, url), 'utf8')) ? asModule : format;
}
