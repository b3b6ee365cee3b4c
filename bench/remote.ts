/** Functions that a child process serves its parent, over the IPC channel. */

export interface Call {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

export interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

type Served = Readonly<Record<string, (...args: never[]) => unknown>>;

/**
 * Answers the parent's calls with `functions`, until the parent stops this process or is gone; `close` is called
 * before the end. Arguments and results cross as JSON.
 */
export function serve(functions: Served, close: () => Promise<void>): void {
  process.on('message', (call: Call) => void answer(functions, call));
  const end = (code: number) => {
    void close()
      .catch((error: unknown) => console.error(error))
      .then(() => process.exit(code));
  };
  process.once('SIGTERM', () => end(0));
  process.once('disconnect', () => end(1));
}

async function answer(functions: Served, { id, method, args }: Call): Promise<void> {
  let reply: Answer;
  try {
    const served = functions[method];
    if (served === undefined) throw new Error(`there is no ${method}`);
    reply = { id, result: await served(...(args as never[])) };
  } catch (error) {
    console.error(error);
    reply = { id, error: error instanceof Error ? error.message : String(error) };
  }
  process.send?.(reply);
}
