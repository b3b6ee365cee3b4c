export type ServerErrorCode = 'DATA_DIR_IN_USE' | 'DATA_DIR_UNUSABLE' | 'DATA_DAMAGED' | 'CANNOT_LISTEN';

/** Why the server cannot run, in one line that a user can act on. */
export class ZooKeeperServerError extends Error {
  override name = 'ZooKeeperServerError';
  readonly code: ServerErrorCode;
  constructor(code: ServerErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** The operating system's word for what went wrong, e.g. `EACCES`. */
export function systemErrorCode(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}
