import { createServer } from 'node:net';
import { StartupError } from '../../runtime/app-process.ts';

/**
 * The port the API is going to listen on, found free a moment ago; any free one for port 0.
 * @throws StartupError with one line for the user
 */
export function findApiPort(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why =
        error.code === 'EADDRINUSE'
          ? 'is in use by another process'
          : error.code === 'EACCES'
            ? 'needs permissions this user does not have'
            : `cannot be used: ${error.message}`;
      reject(new StartupError(`port ${port} on ${host} ${why}: choose another with --port`));
    });
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : port));
    });
  });
}
