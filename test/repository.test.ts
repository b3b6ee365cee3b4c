/** What the documents name is there, and what is written in two places is the same in both. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describe, expect, it } from 'vitest';
import { startApp } from '../apps/scheduler-api/testing/start-app.ts';
import { settings } from '../libs/runtime/settings.ts';

const path = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const read = (name: string) => readFileSync(path(name), 'utf8');
/** All of `text` that `pattern` captures in its first group. */
const captures = (text: string, pattern: RegExp) =>
  [...text.matchAll(pattern)].map((match) => match[1] ?? '');

/** Their default is the machine's name. */
const BY_HOST_NAME = ['WORKER_ID', 'CONTROLLER_ID'];
/** Fixed by docker-compose.yml or the image: of no use in an .env. */
const FIXED_IN_CONTAINERS = ['DATABASE_URL', 'ZOOKEEPER_CONNECT', 'HOST', ...BY_HOST_NAME];

/** The `$ curl …` calls of a document as requests to the API, each with what is shown as its answer. */
function curlCalls(text: string) {
  const calls = text.matchAll(/^\$ curl ((?:.*\\\n)*.*)\n([^]*?)(?=^\$ |^```)/gm);
  return [...calls].map(([, command = '', shown = '']) => {
    const words = command.replaceAll('\\\n', ' ').matchAll(/'([^']*)'|(\S+)/g);
    const { values, positionals } = parseArgs({
      args: [...words].map(([, quoted, bare]) => quoted ?? bare ?? ''),
      allowPositionals: true,
      options: {
        include: { type: 'boolean', short: 'i' },
        request: { type: 'string', short: 'X', default: 'GET' },
        header: { type: 'string', short: 'H', multiple: true, default: [] },
        data: { type: 'string', short: 'd' },
      },
    });
    expect(positionals).toEqual([expect.stringMatching(/^localhost:8080\//)]);
    const headers = values.header.map((header) => header.split(/: */) as [string, string]);
    const request = {
      method: values.request as 'GET',
      url: positionals[0]?.replace('localhost:8080', '') ?? '',
      headers: Object.fromEntries(headers),
      ...(values.data === undefined ? {} : { payload: values.data }),
    };
    return { request, shown };
  });
}

describe('README.md', () => {
  const readme = read('README.md');

  it('names npm commands that exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = [...captures(readme, /npm (start|test)\b/g), ...captures(readme, /npm run ([\w:-]+)/g)];
    expect(named).toEqual(expect.arrayContaining(['start', 'test']));
    for (const name of named) expect(scripts, `npm run ${name}`).toHaveProperty([name]);
  });

  it('names flags of npm start that exist', () => {
    const usage = read('libs/embedded/local-cluster/command-line.ts');
    const flags = captures(readme, /npm start -- ([^`\n]*)/g).flatMap((rest) =>
      captures(rest, /(--[a-z]+)/g),
    );
    for (const flag of flags) expect(usage).toMatch(new RegExp(`^ {2}(-\\w, )?${flag} `, 'm'));
  });

  it('names services of docker-compose.yml that exist', () => {
    const services = captures(read('docker-compose.yml'), /^ {2}([a-z-]+):$/gm);
    const named = captures(readme, /docker compose [^\n`]*--scale ([a-z-]+)=/g);
    expect(named.length).toBeGreaterThan(0);
    expect(services).toEqual(expect.arrayContaining(named));
  });

  it('shows calls of the API that are answered as it shows', async () => {
    const { api } = startApp();
    // What needs a worker is shown by test/e2e/own-handlers.test.ts.
    const calls = curlCalls(readme.slice(0, readme.indexOf('## Your own handlers')));
    const called = calls.map(({ request: { method, url } }) => `${method} ${url}`);
    expect(called).toEqual(['POST /tasks', 'GET /tasks/1', 'DELETE /tasks/1', 'GET /cluster']);
    for (const [index, { request, shown }] of calls.entries()) {
      const answer = await api.inject(request);
      const status = captures(shown, /^HTTP\/1\.1 (\d+) /gm)[0] ?? '200';
      expect(`${answer.statusCode}`, called[index]).toBe(status);
      expect(answer.headers.location).toBe(captures(shown, /^location: (.*)$/gm)[0]);
      for (const field of captures(shown, /("\w+":)/g)) expect(answer.body).toContain(field);
    }
  });

  it('names bodies of POST /tasks that are taken, and routes that exist', async () => {
    const { api, post } = startApp();
    const bodies = captures(readme, /`(\{"name":[^`]*\})`/g);
    expect(bodies.length).toBeGreaterThan(0);
    for (const body of bodies) expect((await post(body)).statusCode, body).toBe(201);
    const routes = [...readme.matchAll(/`(GET|POST|PUT|PATCH|DELETE) (\/[\w/:]*)`/g)];
    expect(routes.length).toBeGreaterThan(0);
    for (const [route, method = '', url = ''] of routes) {
      expect(api.hasRoute({ method, url }), route).toBe(true);
    }
  });

  it('quotes lines of the log as they are written', () => {
    const launcher = read('libs/embedded/local-cluster/local-cluster.ts');
    for (const part of ['ready: ', ' workers; Ctrl-C stops everything)', 'try: curl -X POST ']) {
      expect(readme).toContain(part);
      expect(launcher).toContain(part);
    }
    const executor = read('apps/worker-node/attempt-runner.ts');
    const fields = captures(captures(readme, /(INFO: Handling event \{.*\})/g)[0] ?? '', /"(\w+)":/g);
    expect(fields.length).toBeGreaterThan(0);
    expect(executor).toContain("'Handling event'");
    for (const field of fields) expect(executor).toMatch(new RegExp(`\\b${field}(?:[:,]| \\})`));
  });

  it('describes every setting as the code does', () => {
    const rows = [...readme.matchAll(/^\| `([A-Z_]+)` *\| (.+?) *\| (.+?) *\|$/gm)];
    const documented = rows.map(([, name = '', fallback, meaning]) => ({ name, fallback, meaning }));
    const actual = Object.entries(settings).map(([name, setting]) => ({
      name,
      fallback: BY_HOST_NAME.includes(name)
        ? 'host name'
        : setting.default === undefined
          ? 'required'
          : setting.default === ''
            ? 'none'
            : `\`${setting.default}\``,
      meaning: setting.description,
    }));
    expect(documented).toEqual(actual);
  });
});

describe.each(['README.md', 'docs/ARCHITECTURE.md'])('%s', (document) => {
  const text = read(document);

  it('names paths that exist', () => {
    const links = captures(text, /\]\(([^)#:]+)(?:#[^)]*)?\)/g).map((link) =>
      fileURLToPath(new URL(link, new URL(`../${document}`, import.meta.url))),
    );
    const named = captures(text, /`((?:apps|libs|docs|test|bin|bench|\.ci)\/[\w./-]*)`/g).map(path);
    const files = captures(text, /\b(docker-compose[\w.-]*\.yml|\.env\.example|package\.json)\b/g).map(path);
    const missing = [...links, ...named, ...files].filter((file) => !existsSync(file));
    expect(missing).toEqual([]);
  });
});

describe('.env.example', () => {
  const lines = [...read('.env.example').matchAll(/^(#?)([A-Z_]+)=(.*)$/gm)];
  const values = new Map(lines.map(([, , name = '', value = '']) => [name, value]));

  it('names every variable once, and those fixed in containers as comments only', () => {
    const names = lines.map(([, , name]) => name);
    expect(names.toSorted()).toEqual([...Object.keys(settings), 'POSTGRES_PASSWORD'].toSorted());
    const commented = lines.filter(([, hash]) => hash === '#').map(([, , name]) => name);
    expect(commented.toSorted()).toEqual(FIXED_IN_CONTAINERS.toSorted());
  });

  it('shows the defaults: copied as it is, it changes nothing', () => {
    const compose = read('docker-compose.yml');
    for (const [name, setting] of Object.entries(settings)) {
      if (FIXED_IN_CONTAINERS.includes(name)) continue;
      const own = new RegExp(`\\$\\{${name}:-([^}]*)\\}`).exec(compose)?.[1];
      expect(own, `${name} in docker-compose.yml`).toBeDefined();
      expect(values.get(name), name).toBe(own === '' ? setting.default : own);
    }
    expect(compose).toContain(`\${POSTGRES_PASSWORD:-${values.get('POSTGRES_PASSWORD') ?? ''}}`);
  });
});

describe.each(['package-lock.json', 'bench/package-lock.json'])('%s', (lockFile) => {
  it('holds integrity, and no address of a registry', () => {
    const { packages } = JSON.parse(read(lockFile)) as {
      packages: Record<string, { resolved?: string; integrity?: string; link?: boolean }>;
    };
    const installed = Object.entries(packages).filter(([name]) => name !== '');
    expect(installed.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
    expect(installed.filter(([, { integrity }]) => integrity === undefined)).toEqual([]);
  });
});
