import { expect, it } from 'vitest';
import { ClaimSize } from './claim-size.ts';

const tasks = (length: number) => ({ length }) as readonly unknown[];

it('as many as were asked for: there may be more', () => {
  const size = new ClaimSize();
  expect(size.most(16)).toBe(1_000);
  expect(size.claimed({ tasks: tasks(1_000), fitting: 1_060 }, 1_000)).toBe(true);
  expect(size.claimed({ tasks: tasks(7), fitting: 1_060 }, 7)).toBe(true);
});

it('fewer: there was no more', () => {
  const size = new ClaimSize();
  expect(size.claimed({ tasks: tasks(700), fitting: 1_060 }, 1_000)).toBe(false);
  expect(size.claimed({ tasks: [], fitting: Infinity }, 1_000)).toBe(false);
  expect(size.most(16)).toBe(1_000);
});

it('fewer, as the reply was cut off: there may be more, of which only what fits is asked for', () => {
  const size = new ClaimSize();
  expect(size.claimed({ tasks: tasks(180), fitting: 190 }, 1_000)).toBe(true);
  expect(size.most(16)).toBe(171);
  expect(size.claimed({ tasks: tasks(171), fitting: 190 }, 171)).toBe(true);
});

it('asks for many again once they are short again', () => {
  const size = new ClaimSize();
  size.claimed({ tasks: tasks(15), fitting: 15 }, 1_000);
  expect(size.most(16)).toBe(13);
  expect(size.claimed({ tasks: tasks(13), fitting: 1_060 }, 13)).toBe(true);
  expect(size.most(16)).toBe(954);
});

it('a single one that fills a reply is claimed by itself', () => {
  const size = new ClaimSize();
  expect(size.claimed({ tasks: tasks(1), fitting: 1 }, 1_000)).toBe(true);
  expect(size.most(16)).toBe(1);
});

it('fewer partitions, and the first task in each only, where a claim was cut off', () => {
  const size = new ClaimSize();
  const sizes = () => [size.partitions, size.most(size.partitions)];
  expect(sizes()).toEqual([64, 1_000]);
  size.cutOff(16);
  expect(sizes()).toEqual([8, 8]);
  size.cutOff(1);
  expect(sizes()).toEqual([1, 1]);
  size.answered(1, 2_000);
  expect(sizes()).toEqual([1, 1_000]);
  for (const partitions of [1, 2, 1, 4, 8, 16, 32]) size.answered(partitions, 10);
  expect(sizes()).toEqual([64, 1_000]);
});

it('fewer partitions of a backlog, which leaves enough in each', () => {
  const size = new ClaimSize();
  expect(size.partitions).toBe(64);
  size.claimed({ tasks: tasks(1_000), fitting: 1_060 }, 1_000);
  expect(size.partitions).toBe(16);
  size.claimed({ tasks: tasks(700), fitting: 1_060 }, 1_000);
  expect(size.partitions).toBe(64);
});
