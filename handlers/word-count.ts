/** Counts words: {"name": "word-count", "payload": {"text": "to be or not to be"}} */
import { Type, defineHandler } from 'partitioned-task-scheduler/handlers';

export default defineHandler({
  name: 'word-count',
  payload: Type.Object({ text: Type.String() }),
  run({ payload }) {
    const words = payload.text.split(/\s+/).filter((word) => word !== '');
    return { words: words.length, different: new Set(words).size };
  },
});
