/** Counts words: {"name": "word-count", "payload": {"text": "to be or not to be"}} */
import { Type, defineHandler } from 'partitioned-task-scheduler/handlers';

const LINES_AT_ONCE = 1_000;

export default defineHandler({
  name: 'word-count',
  payload: Type.Object({ text: Type.String() }),
  async run({ payload }, { progress, sleep }) {
    const lines = payload.text.split('\n');
    const seen = new Set<string>();
    let words = 0;
    for (const [index, line] of lines.entries()) {
      for (const word of line.split(/\s+/).filter((text) => text !== '')) {
        seen.add(word);
        words += 1;
      }
      if ((index + 1) % LINES_AT_ONCE === 0) {
        progress((index + 1) / lines.length, `line ${index + 1} of ${lines.length}`);
        // Others have their turn; and this ends here where its task was cancelled.
        await sleep(0);
      }
    }
    return { words, different: seen.size };
  },
});
