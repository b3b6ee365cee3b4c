/** Results as a page of Markdown. Pure. */
import type { ScenarioResult, SubjectResult } from './results.ts';
import { listOf } from './machine.ts';
import type { Comparison, Measure } from './scenarios/scenario.ts';
import { ratios, spread } from './statistics.ts';

const INTRODUCTION = `# Results

Written by \`npm run bench\`. Figures are medians over the rounds, with least and greatest in brackets. **Only ratios
mean much**: they are taken round by round, so that what the machine did to both of a round cancels out.

What was to be reached, and what limits where it was not: [goals](goals.md).
`;

const NONE = 'None are recorded yet: run `npm run bench` on a machine that has nothing else to do.';

export function page(results: readonly ScenarioResult[]): string {
  const sections = results.length === 0 ? [NONE] : results.map(section);
  return [INTRODUCTION, ...sections].join('\n');
}

function section(result: ScenarioResult): string {
  const { scenario, title, method, measures, subjects, comparisons, rounds } = result;
  const header = ['', ...measures.map(({ name }) => name), 'set up as'];
  const rows = subjects.map((subject) => [
    subject.name,
    ...measures.map((measure) => cell(subject.values[measure.name] ?? [], measure)),
    subject.setup,
  ]);
  const compared = comparisons.flatMap((comparison) => comparisonRow(subjects, comparison));
  return [
    `## ${scenario}: ${title}\n`,
    `${method}\n`,
    table([header, ...rows]),
    ...(compared.length > 0 ? [table([['', 'measure', 'ratio'], ...compared])] : []),
    `${rounds} ${rounds === 1 ? 'round' : 'rounds'}, ${result.measuredAt.slice(0, 10)}${commitOf(result)}. ${result.machine}. ` +
      `${result.servers.join('; ')}. ${listOf(result.packages)}.\n`,
  ].join('\n');
}

const commitOf = ({ commit }: ScenarioResult) => (commit === undefined ? '' : `, commit ${commit}`);

function cell(values: readonly number[], { digits }: Measure): string {
  return values.length === 0 ? '–' : shown(values, digits);
}

/** Empty where one of the two was not measured. */
function comparisonRow(subjects: readonly SubjectResult[], { of, against, measure }: Comparison): string[][] {
  const values = (name: string) => subjects.find((subject) => subject.name === name)?.values[measure] ?? [];
  const byRound = ratios(values(of), values(against));
  return byRound.length === 0 ? [] : [[`${of} : ${against}`, measure, shown(byRound, 2)]];
}

function shown(values: readonly number[], digits: number): string {
  const { median, min, max } = spread(values);
  const text = (value: number) =>
    value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${text(median)} (${text(min)}–${text(max)})`;
}

function table(rows: readonly (readonly string[])[]): string {
  const [header = [], ...body] = rows.map((row) => `| ${row.join(' | ')} |`);
  const columns = rows[0]?.length ?? 0;
  return [header, `|${' --- |'.repeat(columns)}`, ...body, ''].flat().join('\n');
}
