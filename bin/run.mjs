#!/usr/bin/env node
// Runs a TypeScript entry point in this process: `node bin/run.mjs FILE [ARGS…]`.
// Node >= 22.18 strips the types itself; older ones are given tsx, so there is no build step anywhere.
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [file, ...args] = process.argv.slice(2);
if (file === undefined) {
  console.error('usage: node bin/run.mjs FILE [ARGS…]');
  process.exit(2);
}
const path = resolve(file);
process.argv = [process.argv[0], path, ...args];
try {
  if (!process.features.typescript) {
    const { register } = await import('tsx/esm/api');
    register();
  }
  await import(pathToFileURL(path).href);
} catch (error) {
  if (error?.code !== 'ERR_MODULE_NOT_FOUND' || !error.message.includes('package')) throw error;
  console.error(
    `${error.message.split('\n')[0]}\nIs something not installed? \`npm ci\` installs all there is.`,
  );
  process.exit(1);
}
