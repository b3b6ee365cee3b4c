/**
 * A small HTTP/1.1 client: connections that stay open, one request at a time on each, nothing but what the
 * measurement needs. The same for every server that is measured, and cheap, since it shares their processors.
 */
import type { Socket } from 'node:net';
import { connect } from 'node:net';

export interface HttpClient {
  /** Posts `json` on a connection that is free, or a new one; resolves with the answer's body. */
  post(json: string): Promise<string>;
  close(): void;
}

const END_OF_HEADERS = '\r\n\r\n';

/** @param url of everything that is posted; only answers of `201`, with a content-length, are taken */
export function httpClient(url: string): HttpClient {
  const { hostname, port, pathname } = new URL(url);
  const head = `POST ${pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Type: application/json\r\n`;
  const free: Connection[] = [];
  const all = new Set<Connection>();
  return {
    async post(json) {
      const connection = free.pop() ?? new Connection(connect(Number(port), hostname));
      all.add(connection);
      try {
        const body = await connection.exchange(
          `${head}Content-Length: ${Buffer.byteLength(json)}${END_OF_HEADERS}${json}`,
        );
        free.push(connection);
        return body;
      } catch (error) {
        connection.destroy();
        all.delete(connection);
        throw error;
      }
    },
    close() {
      for (const connection of all) connection.destroy();
    },
  };
}

class Connection {
  readonly #socket: Socket;
  #received = '';
  #pending: { resolve: (body: string) => void; reject: (error: Error) => void } | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    // One character a byte, so that lengths are those of the headers; the answers are ASCII.
    socket.setNoDelay(true).setEncoding('latin1');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  exchange(request: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
      this.#socket.write(request);
    });
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    this.#received += text;
    const headEnd = this.#received.indexOf(END_OF_HEADERS);
    if (headEnd < 0) return;
    const head = this.#received.slice(0, headEnd);
    const length = /\ncontent-length: (\d+)/i.exec(head)?.[1];
    if (length === undefined) return this.#fail(new Error(`an answer without content-length:\n${head}`));
    const bodyStart = headEnd + END_OF_HEADERS.length;
    const bodyEnd = bodyStart + Number(length);
    if (this.#received.length < bodyEnd) return;
    const body = this.#received.slice(bodyStart, bodyEnd);
    this.#received = this.#received.slice(bodyEnd);
    if (!head.startsWith('HTTP/1.1 201')) return this.#fail(new Error(`${head}\n${body}`));
    this.#pending?.resolve(body);
    this.#pending = undefined;
  }

  #fail(error: Error): void {
    this.#pending?.reject(error);
    this.#pending = undefined;
  }
}
