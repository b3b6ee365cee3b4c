import type { Json } from '../../libs/core/task.ts';

/**
 * The bytes of `value` as compact JSON in UTF-8, each number written out: the jsonb that scheduler.submit_task takes
 * holds numbers as decimals, so that it counts 309 digits of 1e+308.
 * @param text `value` by JSON.stringify
 */
export function jsonBytes(value: Json, text = JSON.stringify(value)): number {
  const bytes = Buffer.byteLength(text);
  return /\de[+-]/.test(text) ? bytes + bytesOfExponents(value) : bytes;
}

/** How many bytes more its numbers take where they are written without exponents. */
function bytesOfExponents(value: Json): number {
  if (typeof value === 'number') return writtenOutLength(value) - String(value).length;
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce<number>((sum, member: Json) => sum + bytesOfExponents(member), 0);
}

/** The length of a number without an exponent: of 1.5e-7, that of 0.00000015. */
function writtenOutLength(value: number): number {
  const text = String(value);
  const [, sign = '', digits = '', exponent] = /^(-?)([\d.]+)e([+-]\d+)$/.exec(text) ?? [];
  if (exponent === undefined) return text.length;
  const power = Number(exponent);
  // From 1e21 on a double has fewer digits than that; below 1e-6 they all come after the point.
  const significant = digits.replace('.', '').length;
  return sign.length + (power > 0 ? power + 1 : '0.'.length + -power - 1 + significant);
}
