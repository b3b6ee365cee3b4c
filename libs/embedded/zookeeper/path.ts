/** ZooKeeper's rule for paths (`PathUtils.validatePath`): absolute, no empty, `.` or `..` component, no control
 * characters, surrogates, private-use or non-characters. */
const FORBIDDEN = /\/\/|\/\.\.?(\/|$)|[\u0000-\u001f\u007f-\u009f\ud800-\uf8ff\ufff0-\uffff]/;

export function isValidPath(path: string): boolean {
  if (path === '/') return true;
  return path.startsWith('/') && !path.endsWith('/') && !FORBIDDEN.test(path);
}

/** Of `/a/b`: `/a`. The root is its own parent. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}

/** Of `/a/b`: `b`. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
