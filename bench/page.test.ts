import { describe, expect, it } from 'vitest';
import { page } from './page.ts';
import type { ScenarioResult } from './results.ts';

const result: ScenarioResult = {
  scenario: 'drain',
  title: 'A backlog',
  method: 'How it is measured.',
  measuredAt: '2030-01-02T03:04:05.678Z',
  machine: 'a machine',
  servers: ['a Postgres'],
  packages: [{ name: 'peer', version: '1.2.3' }],
  rounds: 3,
  measures: [{ name: 'tasks/s', digits: 0 }],
  subjects: [
    { name: 'project', setup: 'ours', values: { 'tasks/s': [3_000, 1_500, 2_000] } },
    { name: 'peer', setup: 'theirs', values: { 'tasks/s': [1_500, 1_000, 1_000] } },
  ],
  comparisons: [
    { of: 'project', against: 'peer', measure: 'tasks/s' },
    { of: 'project', against: 'absent', measure: 'tasks/s' },
  ],
};

describe('the page of results', () => {
  it('shows medians with their spread, and ratios of rounds', () => {
    const text = page([result]);
    expect(text).toContain('| project | 2,000 (1,500–3,000) | ours |');
    expect(text).toContain('| peer | 1,000 (1,000–1,500) | theirs |');
    // 2, 1.5 and 2: not the ratio of the medians, which are of different rounds.
    expect(text).toContain('| project : peer | tasks/s | 2.00 (1.50–2.00) |');
  });

  it('compares with nobody who was not measured', () => {
    expect(page([result])).not.toContain('absent');
  });

  it('says what it was measured on and with', () => {
    expect(page([result])).toContain('3 rounds, 2030-01-02. a machine. a Postgres. peer 1.2.3.');
  });

  it('says which commit was measured, where that is known', () => {
    expect(page([{ ...result, commit: 'abc1234, modified' }])).toContain(
      '3 rounds, 2030-01-02, commit abc1234, modified. a machine.',
    );
  });

  it('says that there are none', () => {
    expect(page([])).toContain('None are recorded yet');
  });
});
