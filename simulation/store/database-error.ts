/** An error as Postgres reports it and pg throws it. */
export class DatabaseError extends Error {
  override name = 'DatabaseError';
  /** SQLSTATE */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
