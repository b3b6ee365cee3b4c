/** What a scenario is: who is measured, how, and who is compared with whom. */
import type { Bench } from '../bench.ts';
import type { ContestantName } from '../contestants.ts';

/** One value of each measure of the scenario that the subject has. */
export type Measured = Readonly<Record<string, number>>;

export interface Subject {
  /** Unique in its scenario; what is shown for it. */
  readonly name: string;
  readonly setup: string;
  /** Measures once, from nothing to nothing: whatever it starts, it stops. */
  readonly measure: () => Promise<Measured>;
}

export interface Measure {
  /** With the unit, as it is shown: `tasks/s`. */
  readonly name: string;
  /** Digits after the point. */
  readonly digits: number;
}

/** A ratio, taken round by round; without effect where one of the two does not take part. */
export interface Comparison {
  readonly of: string;
  readonly against: string;
  readonly measure: string;
}

export interface Plan {
  readonly subjects: readonly Subject[];
  readonly comparisons: readonly Comparison[];
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** All that it measures. */
  readonly contestants: readonly ContestantName[];
  /** How often it is measured unless the command line says, where that is not as often as the others. */
  readonly rounds?: number;
  /** Runs only where it is named. */
  readonly onRequest?: boolean;
  /** What exactly is measured, in sentences, for whoever reads the results. */
  readonly method: (bench: Bench) => string;
  readonly measures: readonly Measure[];
  /** Of the contestants that take part: at least one. */
  plan(bench: Bench): Plan;
}

/** Compares the project with each of the others. */
export function againstOthers(subjects: readonly Subject[], measure: string): Comparison[] {
  const [project, ...others] = subjects;
  if (project === undefined) return [];
  return others.map(({ name }) => ({ of: project.name, against: name, measure }));
}
