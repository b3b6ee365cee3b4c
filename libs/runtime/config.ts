/**
 * Configuration from environment variables: every fault is reported at once, by the variable's name and
 * without the value of a secret.
 */
export class ConfigError extends Error {
  override name = 'ConfigError';
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    super(`invalid configuration:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
    this.faults = faults;
  }
}

export interface Setting<T> {
  readonly description: string;
  /** As a user would write it; `undefined` where the setting is required. */
  readonly default: string | undefined;
  readonly secret: boolean;
  /** @throws Error with what is wrong, not naming the variable */
  readonly parse: (text: string) => T;
}

export type Settings = Record<string, Setting<unknown>>;
export type Config<S extends Settings> = {
  readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never;
};

/**
 * Reads `settings` from `env`. An empty variable counts as not set.
 * @throws ConfigError naming every variable that is missing or wrong
 */
export function readConfig<S extends Settings>(settings: S, env: NodeJS.ProcessEnv): Config<S> {
  const faults: string[] = [];
  const config: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(settings)) {
    const given = env[name];
    const text = given === undefined || given === '' ? setting.default : given;
    if (text === undefined) {
      faults.push(`${name} is not set: ${setting.description}`);
      continue;
    }
    try {
      config[name] = setting.parse(text);
    } catch (error) {
      const shown = setting.secret ? '' : ` ${JSON.stringify(text)}:`;
      faults.push(`${name}:${shown} ${(error as Error).message}`);
    }
  }
  if (faults.length > 0) throw new ConfigError(faults);
  return config as Config<S>;
}

interface Common {
  readonly description: string;
  readonly default?: string;
}

export function integer(options: Common & { readonly min: number; readonly max: number }): Setting<number> {
  return {
    description: options.description,
    default: options.default,
    secret: false,
    parse(text) {
      const value = Number(text);
      if (!/^-?\d+$/.test(text) || value < options.min || value > options.max) {
        throw new Error(`must be a whole number from ${options.min} to ${options.max}`);
      }
      return value;
    },
  };
}

/** A number that may have a fraction. */
export function decimal(options: Common & { readonly min: number; readonly max: number }): Setting<number> {
  return {
    description: options.description,
    default: options.default,
    secret: false,
    parse(text) {
      const value = Number(text);
      if (!/^\d+(\.\d+)?$/.test(text) || value < options.min || value > options.max) {
        throw new Error(`must be a number from ${options.min} to ${options.max}, such as 7 or 0.5`);
      }
      return value;
    },
  };
}

export function text(options: Common & { readonly pattern: RegExp; readonly form: string }): Setting<string> {
  return {
    description: options.description,
    default: options.default,
    secret: false,
    parse(value) {
      if (!options.pattern.test(value)) throw new Error(`must be ${options.form}`);
      return value;
    },
  };
}

export function oneOf<const V extends string>(
  options: Common & { readonly values: readonly V[] },
): Setting<V> {
  return {
    description: options.description,
    default: options.default,
    secret: false,
    parse(value) {
      const found = options.values.find((candidate) => candidate === value);
      if (found === undefined) throw new Error(`must be one of ${options.values.join(', ')}`);
      return found;
    },
  };
}

/** A postgres:// URL; its value never appears in an error or a log. */
export function databaseUrl(options: Common): Setting<string> {
  return {
    description: options.description,
    default: options.default,
    secret: true,
    parse(value) {
      const url = URL.canParse(value) ? new URL(value) : undefined;
      // Without `//` there is no host, and what is meant as the password would be the path.
      if (url === undefined || !['postgres:', 'postgresql:'].includes(url.protocol) || url.hostname === '') {
        throw new Error('must be a URL such as postgres://user:password@host:5432/database');
      }
      return value;
    },
  };
}

/** `user:password` of ZooKeeper's digest scheme, `undefined` for none; it never appears in an error or a log. */
export function digestCredentials(
  options: Common,
): Setting<{ readonly user: string; readonly password: string } | undefined> {
  return {
    description: options.description,
    default: options.default,
    secret: true,
    parse(value) {
      if (value === '') return undefined;
      const [, user, password] = /^([^:\s]+):(\S+)$/.exec(value) ?? [];
      if (user === undefined || password === undefined) throw new Error('must be user:password');
      return { user, password };
    },
  };
}
