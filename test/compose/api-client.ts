/** What these tests ask of the API. */
import { expect } from 'vitest';

export interface Task {
  readonly id: number;
  readonly status: string;
  readonly workerId?: string | null;
  readonly result?: unknown;
}

export class ApiClient {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async isReady(): Promise<boolean> {
    return (await fetch(`${this.#url}/readyz`)).ok;
  }

  /** Submits `names`, one request after the other, and returns the ids. */
  async submit(names: readonly string[]): Promise<number[]> {
    const ids: number[] = [];
    for (const name of names) {
      const response = await fetch(`${this.#url}/tasks`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ name }),
      });
      expect(response.status, `POST /tasks of ${name}`).toBe(201);
      ids.push(((await response.json()) as Task).id);
    }
    return ids;
  }

  async task(id: number): Promise<Task> {
    return (await (await fetch(`${this.#url}/tasks/${id}`)).json()) as Task;
  }

  tasks(ids: readonly number[]): Promise<Task[]> {
    return Promise.all(ids.map((id) => this.task(id)));
  }

  /** How many partitions each owner has; those without one count under `null`. */
  async ownership(): Promise<Map<string | null, number>> {
    const cluster = (await (await fetch(`${this.#url}/cluster`)).json()) as {
      partitions: { owner: string | null }[];
    };
    const counts = new Map<string | null, number>();
    for (const { owner } of cluster.partitions) counts.set(owner, (counts.get(owner) ?? 0) + 1);
    return counts;
  }
}
