import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { MUTANTS } from './mutants.ts';

it('every mutant has something to change', async () => {
  for (const { name, also, ...first } of MUTANTS) {
    for (const { file, find } of also === undefined ? [first] : [first, also]) {
      const text = await readFile(new URL(`../${file}`, import.meta.url), 'utf8');
      expect(text.split(find).length - 1, `"${name}": how often its text stands in ${file}`).toBe(1);
    }
  }
});
