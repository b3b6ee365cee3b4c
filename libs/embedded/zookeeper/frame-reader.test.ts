import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FrameReader, MAX_PACKET_BYTES, PacketTooLarge } from './frame-reader.ts';
import { frame } from './protocol.ts';

function packet(bytes: Uint8Array): Buffer {
  return frame((writer) => writer.reserve(bytes.length).set(bytes));
}

it('gives the same packets however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 20 })),
      (bodies, cuts) => {
        let stream = Buffer.concat(bodies.map(packet));
        const reader = new FrameReader();
        const got: Buffer[] = [];
        while (stream.length > 0) {
          const cut = Number(cuts.next().value);
          reader.push(stream.subarray(0, cut));
          stream = stream.subarray(cut);
          for (let next = reader.next(); next !== undefined; next = reader.next()) got.push(next);
        }
        expect(got.map((each) => [...each])).toEqual(bodies.map((each) => [...each]));
      },
    ),
  );
});

it.each([MAX_PACKET_BYTES + 1, -1])('refuses a packet of %i bytes by its length alone', (length) => {
  const reader = new FrameReader();
  const header = Buffer.alloc(4);
  header.writeInt32BE(length);
  reader.push(header);
  expect(() => reader.next()).toThrow(PacketTooLarge);
});

it('takes a packet of just the greatest length', () => {
  const reader = new FrameReader();
  reader.push(packet(new Uint8Array(MAX_PACKET_BYTES)));
  expect(reader.next()?.length).toBe(MAX_PACKET_BYTES);
});
