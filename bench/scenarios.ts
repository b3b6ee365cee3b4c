/** All scenarios, in the order in which they run. */
import { bulkScenario } from './scenarios/bulk.ts';
import { drainBeside10M, drainBeside1M } from './scenarios/drain-beside.ts';
import { drainWorkersScenario } from './scenarios/drain-workers.ts';
import { drainPayloadScenario, drainScenario } from './scenarios/drain.ts';
import { latencyLoadedScenario, latencyScenario } from './scenarios/latency.ts';
import { latenessOfManyScenario, latenessScenario } from './scenarios/lateness.ts';
import { idleScenario } from './scenarios/idle.ts';
import { planningScenario } from './scenarios/planning.ts';
import { rebalanceScenario } from './scenarios/rebalance.ts';
import { recoveryScenario } from './scenarios/recovery.ts';
import { retentionScenario } from './scenarios/retention.ts';
import type { Scenario } from './scenarios/scenario.ts';
import { steadyHeldScenario, steadyScenario } from './scenarios/steady.ts';
import { submitScenario } from './scenarios/submit.ts';

export const SCENARIOS: readonly Scenario[] = [
  drainScenario,
  drainPayloadScenario,
  drainBeside1M,
  drainWorkersScenario,
  drainBeside10M,
  submitScenario,
  bulkScenario,
  latencyScenario,
  latencyLoadedScenario,
  latenessScenario,
  latenessOfManyScenario,
  recoveryScenario,
  rebalanceScenario,
  retentionScenario,
  idleScenario,
  planningScenario,
  steadyScenario,
  steadyHeldScenario,
];
