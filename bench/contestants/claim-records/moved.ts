import { claimRecords } from './claim-records.ts';

export const peer = claimRecords('complete_and_move');
