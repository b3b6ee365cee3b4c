/** What a test run comes to, summed up from the reports of its steps. */

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** What this needs of the JSON report of vitest. */
export interface VitestReport {
  readonly success: boolean;
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

export const nothing: Counts = { passed: 0, failed: 0, skipped: 0 };

/**
 * Counts the tests of one vitest run. What fails outside of any test counts as a failure too: a file that
 * cannot be loaded, a server that does not start, an unhandled rejection, a run without tests.
 *
 * @param report `undefined` where the run wrote none
 */
export function countTests(report: VitestReport | undefined, exitCode: number): Counts {
  const files = report?.testResults ?? [];
  const tests = files.flatMap((file) => file.assertionResults);
  const passed = tests.filter(({ status }) => status === 'passed').length;
  const failedTests = tests.filter(({ status }) => status === 'failed').length;
  const failedFiles = files.filter(
    (file) => file.status === 'failed' && file.assertionResults.every(({ status }) => status !== 'failed'),
  ).length;
  const failed = failedTests + failedFiles;
  const sound = report?.success === true && exitCode === 0;
  return {
    passed,
    failed: failed === 0 && !sound ? 1 : failed,
    skipped: tests.length - passed - failedTests,
  };
}

/** A check without tests, such as the type check: only its failure counts. */
export function countCheck(exitCode: number): Counts {
  return { ...nothing, failed: exitCode === 0 ? 0 : 1 };
}

export function sum(counts: readonly Counts[]): Counts {
  return counts.reduce(
    (total, { passed, failed, skipped }) => ({
      passed: total.passed + passed,
      failed: total.failed + failed,
      skipped: total.skipped + skipped,
    }),
    nothing,
  );
}

/** The closing line. */
export function closingLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
