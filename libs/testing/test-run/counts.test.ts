import { describe, expect, it } from 'vitest';
import { closingLine, countCheck, countTests, sum } from './counts.ts';

const file = (status: string, ...tests: string[]) => ({
  status,
  assertionResults: tests.map((test) => ({ status: test })),
});

describe('the counts of a test run', () => {
  it('adds up the tests of all files', () => {
    const testResults = [file('passed', 'passed', 'pending', 'todo'), file('failed', 'failed', 'passed')];
    expect(countTests({ success: false, testResults }, 1)).toEqual({ passed: 2, failed: 1, skipped: 2 });
  });

  it('counts a file that could not be loaded as a failure', () => {
    const testResults = [file('passed', 'passed'), file('failed')];
    expect(countTests({ success: false, testResults }, 1)).toEqual({ passed: 1, failed: 1, skipped: 0 });
  });

  it.each([
    ['no report', undefined, 1],
    ['no tests', { success: false, testResults: [] }, 1],
    ['an error outside of all tests', { success: true, testResults: [file('passed', 'passed')] }, 1],
    ['a report of failure without a failed test', { success: false, testResults: [] }, 0],
  ])('counts %s as a failure', (_, report, exitCode) => {
    expect(countTests(report, exitCode).failed).toBe(1);
  });

  it('closes with one line', () => {
    const tests = { passed: 7, failed: 0, skipped: 2 };
    expect(closingLine(sum([tests, countCheck(0), countCheck(2)]))).toBe('7 passed, 1 failed, 2 skipped');
  });
});
