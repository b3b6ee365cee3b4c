/**
 * The cluster's znodes, one function a path. See docs/ARCHITECTURE.md, "ZooKeeper tree".
 * A live instance is named `<worker id>~<incarnation>`: an incarnation is one ZooKeeper session of a worker.
 */
export interface Paths {
  readonly root: string;
  readonly meta: string;
  readonly controller: string;
  readonly election: string;
  readonly leader: string;
  /** Its znode version is the term; every controller write checks it. */
  readonly term: string;
  readonly mode: string;
  readonly plan: string;
  readonly workers: string;
  worker(id: string): string;
  readonly live: string;
  liveInstance(id: string, incarnation: string): string;
  readonly grants: string;
  grantsOf(id: string): string;
  readonly acks: string;
  ackOf(id: string, incarnation: string): string;
}

/** @param cluster the cluster's name, a single path component */
export function clusterPaths(cluster: string): Paths {
  const root = `/${cluster}`;
  return {
    root,
    meta: `${root}/meta`,
    controller: `${root}/controller`,
    election: `${root}/controller/election`,
    leader: `${root}/controller/leader`,
    term: `${root}/controller/term`,
    mode: `${root}/controller/mode`,
    plan: `${root}/plan`,
    workers: `${root}/workers`,
    worker: (id) => `${root}/workers/${id}`,
    live: `${root}/live`,
    liveInstance: (id, incarnation) => `${root}/live/${instanceName(id, incarnation)}`,
    grants: `${root}/grants`,
    grantsOf: (id) => `${root}/grants/${id}`,
    acks: `${root}/acks`,
    ackOf: (id, incarnation) => `${root}/acks/${instanceName(id, incarnation)}`,
  };
}

/** The name of its live node and of its ack. */
export function instanceName(id: string, incarnation: string): string {
  return `${id}~${incarnation}`;
}

/** Splits `<worker id>~<incarnation>`; `undefined` for a name of another form. */
export function parseInstanceName(name: string): { id: string; incarnation: string } | undefined {
  const at = name.lastIndexOf('~');
  if (at <= 0 || at === name.length - 1) return undefined;
  return { id: name.slice(0, at), incarnation: name.slice(at + 1) };
}
