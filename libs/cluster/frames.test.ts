import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameSplitter } from './frames.ts';

function frame(body: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length);
  return Buffer.concat([length, body]);
}

describe('FrameSplitter', () => {
  it('gives back the frames that were sent, however the network cuts the stream', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1, maxLength: 60 }),
        (bodies, cuts) => {
          const sent = bodies.map(frame);
          const stream = Buffer.concat(sent);
          const splitter = new FrameSplitter();
          const received: Buffer[] = [];
          for (let at = 0, cut = 0; at < stream.length; cut += 1) {
            const size = cuts[cut % cuts.length] ?? 1;
            received.push(...splitter.push(stream.subarray(at, at + size)));
            at += size;
          }
          expect(received).toEqual(sent);
        },
      ),
    );
  });

  it('keeps what is left of a frame until the rest comes', () => {
    const splitter = new FrameSplitter();
    const whole = frame(Buffer.from('hello'));
    expect(splitter.push(whole.subarray(0, 6))).toEqual([]);
    expect(splitter.push(whole.subarray(6))).toEqual([whole]);
  });

  it('refuses a length that cannot be one', () => {
    expect(() => new FrameSplitter().push(Buffer.from([0xff, 0xff, 0xff, 0xff]))).toThrow('-1 bytes');
    expect(() => new FrameSplitter().push(Buffer.from('HTTP/1.1 400'))).toThrow(/a frame of \d+ bytes/);
  });
});
