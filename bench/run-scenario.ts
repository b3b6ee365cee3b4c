import type { Bench } from './bench.ts';
import type { ScenarioResult } from './results.ts';
import { roundsOf } from './command-line.ts';
import { machine, packageVersions } from './machine.ts';
import type { Scenario } from './scenarios/scenario.ts';

/** Measures each subject once a round, in turn, each round beginning with another of them: A B C, B C A, … */
export async function runScenario(scenario: Scenario, bench: Bench): Promise<ScenarioResult> {
  const { options, say } = bench;
  const { subjects, comparisons } = scenario.plan(bench);
  say(`\n== ${scenario.name}: ${scenario.title}`);
  const values = new Map<string, Record<string, number[]>>();
  const rounds = roundsOf(options, scenario);
  for (let round = 1; round <= rounds; round++) {
    const first = (round - 1) % subjects.length;
    for (const { name, measure } of [...subjects.slice(first), ...subjects.slice(0, first)]) {
      const measured = await measure();
      const shown = scenario.measures.flatMap(({ name: what, digits }) => {
        const value = measured[what];
        return value === undefined ? [] : [`${value.toFixed(digits)} ${what}`];
      });
      say(`round ${round} of ${rounds}: ${name}: ${shown.join(', ')}`);
      const soFar = values.get(name) ?? {};
      for (const [what, value] of Object.entries(measured)) (soFar[what] ??= []).push(value);
      values.set(name, soFar);
    }
  }
  return {
    scenario: scenario.name,
    title: scenario.title,
    method: scenario.method(bench),
    measuredAt: new Date().toISOString(),
    commit: bench.commit,
    machine: machine(),
    servers: [bench.postgres.description, ...(bench.redis === undefined ? [] : [bench.redis.description])],
    packages: packageVersions(),
    rounds,
    measures: scenario.measures,
    subjects: subjects.map(({ name, setup }) => ({ name, setup, values: values.get(name) ?? {} })),
    comparisons,
  };
}
